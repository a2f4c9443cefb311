"""What a person says of a new webhook."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from webhooks.addresses import MAX_URL


class WebhookForm(forms.Form):
    # No URLField: the one parser that decides is in webhooks/addresses.py, and allows hosts of one's own network.
    url = forms.CharField(
        label=_("Which address is to be called?"),
        max_length=MAX_URL,
        help_text=_("Of a program of yours that waits for it, such as https://lab.example.org/idc-finder"),
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )
