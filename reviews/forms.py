"""What reviewers and owners send, from pages and over the API."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from predictions.services.runs import MOST_RECENT, RECENT
from reviews.models import Answer, ReportReason
from reviews.models.ground_truth import DEFINITE, SOURCE_LENGTH
from reviews.models.report import REPORT_LENGTH
from reviews.models.review import COMMENT_LENGTH


class ReviewForm(forms.Form):
    answer = forms.ChoiceField(
        label=_("What does the patch show?"),
        choices=Answer.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose an answer.")},
    )
    comment = forms.CharField(
        label=_("Comment (optional; staff may read it)"),
        max_length=COMMENT_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class ReportForm(forms.Form):
    reason = forms.ChoiceField(
        label=_("What is wrong?"),
        choices=ReportReason.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what is wrong.")},
    )
    comment = forms.CharField(
        label=_("Anything that helps to see it (optional; staff read it)"),
        max_length=REPORT_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class TruthForm(forms.Form):
    answer = forms.ChoiceField(choices=DEFINITE)
    source = forms.CharField(
        label=_("How do you know? (optional; only you and staff see it)"), max_length=SOURCE_LENGTH, required=False
    )


class TrialForm(forms.Form):
    recent = forms.IntegerField(label=_("How many of the newest"), min_value=0, max_value=MOST_RECENT, initial=RECENT)
