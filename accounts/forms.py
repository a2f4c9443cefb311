"""What a person says of a new token, and of how their data is kept."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.counters import MINUTE, count
from accounts.models import Scope, User
from accounts.tokens import DEFAULT_DAYS
from predictions.services.retain import CHOICES

PASSWORDS_PER_MINUTE = 5


class TokenForm(forms.Form):
    DAYS: ClassVar = {7: _("a week"), 30: _("30 days"), DEFAULT_DAYS: _("90 days"), 365: _("a year")}

    name = forms.CharField(label=_("What is it for?"), max_length=80)
    scopes = forms.MultipleChoiceField(
        label=_("What may it do?"),
        choices=Scope.choices,
        initial=[Scope.READ, Scope.PREDICT],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(
        label=_("How long is it valid?"), choices=list(DAYS.items()), coerce=int, initial=DEFAULT_DAYS
    )
    patches_per_day = forms.IntegerField(
        label=_("How many patches may it send a day? Empty: all that you may"),
        required=False,
        min_value=1,
        max_value=1_000_000,
    )


class RetentionForm(forms.Form):
    """confirmed: the same choice once more, after the page has said how many patches would go."""

    days = forms.TypedChoiceField(
        label=_("Delete my private patches"), required=False, coerce=int, empty_value=None, widget=forms.RadioSelect
    )
    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, user: User) -> None:
        super().__init__(data, initial={"days": user.private_patches_days or ""})
        most: int = settings.PRIVATE_PATCHES_DAYS
        offered = [
            (days, gettext("after %(days)d days") % {"days": days}) for days in CHOICES if not most or days < most
        ]
        longest = gettext("never")
        if most:
            said = ngettext("after %(days)d day, as this site does", "after %(days)d days, as this site does", most)
            longest = said % {"days": most}
        self.fields["days"].choices = [("", longest), *offered]  # type: ignore[attr-defined]  # of this field


class EraseForm(forms.Form):
    email = forms.CharField(
        label=_("Type the e-mail address of this account"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, data: Any = None, *, user: User) -> None:
        super().__init__(data)
        self.user = user

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].strip().lower()
        if email != self.user.email:
            raise forms.ValidationError(_("This is not the address of this account."))
        return email

    def clean_password(self) -> str:
        """Tries are counted: who sits down at an open browser must not guess the password here."""
        (tries,) = count([f"passwords of user {self.user.pk}"], period=MINUTE)
        if tries.number > PASSWORDS_PER_MINUTE:
            raise forms.ValidationError(_("Too many tries. Wait a minute."))
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError(_("This is not your password."))
        return password
