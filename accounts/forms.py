"""What a person says of a new token."""

from __future__ import annotations

from typing import ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Scope
from accounts.tokens import DEFAULT_DAYS


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
