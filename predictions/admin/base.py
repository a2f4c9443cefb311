"""What all of the site's admin pages share: rows are read-only, and each write is a call of a service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise, cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from predictions.exceptions import ServiceError
from predictions.models import Prediction
from predictions.templatetags.probability import percent

COUNTED = 1000  # rows of a list that are counted and paged through; filters and search reach the others
SENT_AGAIN = ("action", "select_across", "index", "_selected_action")
LISTED = 20  # rows that a question names
LOOKUPS = ("", "__exact", "__id__exact", "__isnull", "__gte", "__lt")  # of Django's own filters
AT_ONCE = 1000  # rows that one action takes, which runs within a request


class BoundedPaginator(Paginator[Any]):
    """Counts no further than COUNTED: of a hundred thousand rows nobody turns the pages."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNTED)

    @cached_property
    def is_cut(self) -> bool:
        """Whether there are more rows than are counted."""
        return self._counted > COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin gives it querysets
        return rows.order_by().values("pk")[: COUNTED + 1].count()


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows, twenty-five a page, and lets nobody add, change or delete them by hand.

    search_fields name ids and addresses, each found by its index: what is typed is an id, an address or a digest.
    No column sorts: rows come in the order of an index.
    """

    list_per_page = 25
    list_max_show_all = 25
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they would count every row
    paginator = BoundedPaginator
    sortable_by = ()
    search_help_text = gettext_lazy("An id, an e-mail address or a digest, whole.")

    @admin.display(description=gettext_lazy("id"))
    def short_id(self, row: Any) -> SafeString:
        """The first digits of an id, the whole of it for who points at it or searches the page's text."""
        return format_html('<span title="{}">{}</span>', row.uuid, str(row.uuid)[:8])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What was done to a row is in the events: nothing is changed past the services that write them."""
        row = self.get_object(request, object_id)
        events = reverse("admin:predictions_event_changelist")
        return redirect(f"{events}?{urlencode({'q': str(row)})}" if row else events)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """The filters that the page offers, and no others: one of any field would tell it letter by letter."""
        if "\0" in str(value) or "\\x00" in repr(value):
            return False
        offered = [one if isinstance(one, str) else one[0] for one in self.list_filter if isinstance(one, str | tuple)]
        own = {getattr(one, "parameter_name", None) for one in self.list_filter}
        return lookup in own | {f"{name}{how}" for name in offered for how in LOOKUPS}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().replace("\0", "")
        return (queryset.filter(self.found_by(term)) if term else queryset), False

    def found_by(self, term: str) -> Q:
        """Rows whose own field, or that of a row they point to, is the term. What is pointed to is looked up first."""
        kind = kind_of(term)
        found = Q(pk__in=[])
        for name in self.search_fields:
            path = str(name).removesuffix("__exact").split("__")
            if _kind_of_field(path[-1]) != kind:
                continue
            if len(path) == 1:
                found |= Q(**{path[0]: term})
                continue
            model = self.model
            for step in path[:-1]:
                model = cast(type[Model], model._meta.get_field(step).related_model)
            keys = list(model._default_manager.filter(**{path[-1]: term}).values_list("pk", flat=True)[:1])
            found |= Q(**{"__".join([*path[:-1], "in"]): keys})
        return found


class ActingAdmin(ReadOnlyAdmin):
    """Rows stay read-only; the actions are for those who hold the model's change permission."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        return staff_of(request).has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


def thumbnail(prediction: Prediction | None) -> SafeString:
    """The picture of a public patch. Lists show no private one: who opens it leaves a line (`note_opening`)."""
    if prediction is None:
        return SafeString("-")
    if not prediction.patch.is_public:
        return format_html(
            '<a href="{}">{}</a>', prediction.get_absolute_url(), prediction.patch.get_visibility_display()
        )
    source = reverse("predictions:image", args=[prediction.uuid])
    return format_html('<img src="{}" width="50" height="50" alt="">', source)


def shown_answer(prediction: Prediction | None) -> str | None:
    """What came of a prediction: the class and the probability, or else its state."""
    if prediction is None:
        return None
    if prediction.probability is None:
        return prediction.get_status_display()
    called = _("positive") if prediction.label == "positive" else _("negative")
    return f"{called} {percent(prediction.probability)}"


def seconds(start: datetime | None, end: datetime | None) -> str | None:
    return None if start is None or end is None else f"{(end - start).total_seconds():,.2f} s"


def run_on_each(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any], service: Callable[[Any], object]
) -> None:
    """Call a service for every selected row, and say how many went well and why others did not."""
    selected = list(rows[: AT_ONCE + 1])
    if len(selected) > AT_ONCE:
        most = _("These are more than %(most)d rows. Filter or search for fewer: nothing was done.") % {"most": AT_ONCE}
        model_admin.message_user(request, most, messages.ERROR)
        return
    done, refusals = 0, set()
    for row in selected:
        try:
            service(row)
            done += 1
        except ServiceError as error:
            refusals.add(str(error))
    model_admin.message_user(request, ngettext("%d row done.", "%d rows done.", done) % done)
    for refusal in sorted(refusals):
        model_admin.message_user(request, refusal, messages.ERROR)


def to_confirm(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any], question: str | Promise
) -> HttpResponse | None:
    """A page that asks whether it is meant, until its button was pressed; None then."""
    if "confirmed" in request.POST:
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Are you sure?"),
        "question": question,
        "opts": model_admin.opts,
        "rows": rows[:LISTED],
        "others": rows.order_by().values("pk")[LISTED : AT_ONCE + 1].count(),
        "sent": [(name, value) for name in SENT_AGAIN for value in request.POST.getlist(name)],
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)


def staff_of(request: HttpRequest) -> User:
    """The member of staff; the admin lets nobody else in."""
    return cast(User, request.user)


def kind_of(term: str) -> str:
    """What a search term is: uuid, email, sha256, or else the text of a subject."""
    try:
        UUID(term)
    except ValueError:
        if "@" in term:
            return "email"
        return "sha256" if len(term) == 64 else "subject"
    return "uuid"


def _kind_of_field(name: str) -> str:
    return name if name in ("email", "sha256", "uuid") else "subject"
