"""Users and their tokens, for staff. Roles are given here; addresses and passwords belong to their owners."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import Group, Permission
from django.db.models import Count, Exists, IntegerField, ManyToManyField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Now
from django.forms import ModelForm, ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.defaultfilters import date
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts import people
from accounts.models import SECOND_FACTORS, ApiToken, User
from predictions.admin.base import ActingAdmin, run_on_each, staff_of, to_confirm
from predictions.exceptions import ServiceError
from predictions.models import Usage
from predictions.services.quota import DAY

# Addresses, second factors and sessions belong to their owners; allauth would let staff read and edit them.
for model in (EmailAddress, Authenticator, UserSession, Group):
    admin.site.unregister(model)

ROLES = ("is_staff", "is_superuser", "groups", "user_permissions")


@admin.register(User)
class UserAdmin(ActingAdmin):
    """Saved through services alone: what people may do by superusers, quotas by whoever may change users."""

    list_display = (
        "email",
        "is_active",
        "is_staff",
        "has_second_factor",
        "used_today",
        "may_send",
        "tokens",
        "last_login",
    )
    list_filter = ("is_active", "is_staff", "is_superuser", "groups", "date_joined")
    search_fields = ("email",)
    ordering = ("-id",)
    actions = ("close", "open_again", "remove_second_factors")
    fields = ("email", "is_active", "patches_per_day", *ROLES, "date_joined", "last_login")
    filter_horizontal = ("groups", "user_permissions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        mine = Usage.objects.filter(owner=OuterRef("pk"), hour__gt=Now() - DAY).values("owner")
        tokens = ApiToken.objects.filter(user=OuterRef("pk")).order_by().values("user")
        factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=SECOND_FACTORS)
        sent = Subquery(mine.annotate(sent=Sum("number")).values("sent"), output_field=IntegerField())
        number = Subquery(tokens.annotate(number=Count("pk")).values("number"), output_field=IntegerField())
        users: QuerySet[User] = super().get_queryset(request).filter(erased_at__isnull=True)
        return users.annotate(_factor=Exists(factors), _sent=Coalesce(sent, 0), _tokens=Coalesce(number, 0))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_act_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Only a superuser changes what people may do; accounts are closed by an action, which asks first."""
        fixed = ("email", "is_active", "date_joined", "last_login")
        return fixed if staff_of(request).is_superuser else (*fixed, *ROLES)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **options: Any
    ) -> ModelMultipleChoiceField[Any] | None:
        """A permission's name needs its content type: read them all at once."""
        if db_field.name == "user_permissions":
            options["queryset"] = Permission.objects.select_related("content_type")
        return super().formfield_for_manytomany(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        actor, user = staff_of(request), cast(User, obj)
        if "patches_per_day" in form.changed_data:
            people.set_quota(user=user, actor=actor, patches_per_day=form.cleaned_data["patches_per_day"])
        if actor.is_superuser and set(ROLES) & set(form.changed_data):
            said = {name: form.cleaned_data[name] for name in ("is_staff", "is_superuser", "groups")}
            try:
                people.set_roles(user=user, actor=actor, permissions=form.cleaned_data["user_permissions"], **said)
            except ServiceError as refusal:
                self.message_user(request, str(refusal), messages.ERROR)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups and permissions are saved with the rest, above."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The event says it."""

    @admin.display(description=_("second step"), boolean=True)
    def has_second_factor(self, user: Any) -> bool:
        return bool(user._factor)

    @admin.display(description=_("sent today"))
    def used_today(self, user: Any) -> int:
        return int(user._sent)

    @admin.display(description=_("a day at most"))
    def may_send(self, user: User) -> str:
        own = user.patches_per_day
        return f"{settings.PATCHES_PER_DAY:,}" if own is None else f"{own:,} *"

    @admin.display(description=_("tokens"))
    def tokens(self, user: Any) -> int:
        return int(user._tokens)

    @admin.action(description=_("Close the account: sessions and tokens end at once"), permissions=["act"])
    def close(self, request: HttpRequest, users: QuerySet[User]) -> HttpResponse | None:
        question = _("These people are signed out and cannot sign in. Their tokens end for good; their patches stay.")
        if page := to_confirm(self, request, users, question):
            return page
        self._set_active(request, users, is_active=False)
        return None

    @admin.action(description=_("Open the account again"), permissions=["act"])
    def open_again(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._set_active(request, users, is_active=True)

    @admin.action(description=_("Remove second factors: someone lost theirs"), permissions=["superuser"])
    def remove_second_factors(self, request: HttpRequest, users: QuerySet[User]) -> HttpResponse | None:
        question = _("These people are signed out, and then need only their password. Be sure that it is they who ask.")
        if page := to_confirm(self, request, users, question):
            return page
        run_on_each(self, request, users, lambda user: people.reset_mfa(user=user, actor=staff_of(request)))
        return None

    def has_superuser_permission(self, request: HttpRequest) -> bool:
        return staff_of(request).is_superuser

    def _set_active(self, request: HttpRequest, users: QuerySet[User], *, is_active: bool) -> None:
        actor = staff_of(request)
        run_on_each(self, request, users, lambda user: people.set_active(user=user, actor=actor, is_active=is_active))


@admin.register(ApiToken)
class ApiTokenAdmin(ActingAdmin):
    """A token's key in the database is its digest, which no page shows: rows go by their uuid and have no page."""

    list_display = ("name", "user", "opens", "patches_per_day", "created", "expiry", "last_used")
    list_display_links = None
    list_filter = ("expiry", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("uuid__exact", "user__email")
    ordering = ("-created", "uuid")
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request)
        return tokens.defer("token_key")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> None:
        raise Http404

    @admin.display(description="")
    def action_checkbox(self, obj: Any) -> SafeString:
        label = _("Select this token: %(name)s") % {"name": obj.name}
        return format_html(
            '<input type="checkbox" name="_selected_action" value="{}" class="action-select" aria-label="{}">',
            obj.uuid,
            label,
        )

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:  # type: ignore[override]  # wider
        """What was selected by uuid, as Django looks for it."""
        sent = request.POST.copy()
        chosen = []
        for one in sent.getlist("_selected_action"):
            try:
                chosen.append(UUID(one))
            except ValueError:
                continue
        keys = ApiToken.objects.filter(uuid__in=chosen).values_list("pk", flat=True)
        sent.setlist("_selected_action", list(keys))
        request.POST = sent  # type: ignore[assignment]  # a copy that may be changed
        return cast(HttpResponseBase, super().response_action(request, queryset))

    @admin.display(description=_("scopes"))
    def opens(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description=_("last used"))
    def last_used(self, token: ApiToken) -> str:
        return date(token.last_used_at, "DATETIME_FORMAT") if token.last_used_at else str(_("never"))

    @admin.action(description=_("Revoke: refused from the next request on"), permissions=["act"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        run_on_each(self, request, tokens, lambda token: people.revoke(token=token, actor=staff_of(request)))
