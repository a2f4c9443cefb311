"""What the upload page sends beside its files, and the API too."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from predictions.models import Visibility
from predictions.models.patch import FORGET

MIN_UM_PER_PIXEL, MAX_UM_PER_PIXEL, PLACES = Decimal("0.01"), Decimal(100), 4
NO_SCALE = format_lazy(
    _("Give a number from {least} to {most}, with at most {places} digits after the point."),
    least=MIN_UM_PER_PIXEL,
    most=MAX_UM_PER_PIXEL,
    places=PLACES,
)
# The options of a field for it, of forms and of the API. One sentence for all: that 1e400 has too many digits, or that
# nan is no valid number, leaves one guessing.
SCALE: dict[str, Any] = {
    "min_value": MIN_UM_PER_PIXEL,
    "max_value": MAX_UM_PER_PIXEL,
    "max_digits": 3 + PLACES,
    "decimal_places": PLACES,
    "error_messages": {
        "invalid": NO_SCALE,
        "min_value": NO_SCALE,
        "max_value": NO_SCALE,
        "max_digits": NO_SCALE,
        "max_whole_digits": NO_SCALE,
        "max_decimal_places": NO_SCALE,
        "max_string_length": NO_SCALE,
    },
}


class UploadForm(forms.Form):
    visibility = forms.ChoiceField(
        label=_("Who may see these patches?"),
        choices=[
            (Visibility.PRIVATE, _("Only you. You can share them later.")),
            (FORGET, _("Only you, and only the answer: the pixels are dropped as soon as it is there.")),
            (Visibility.PUBLIC, _("Everyone: they appear in the gallery once they are answered.")),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose who may see these patches.")},
    )
    um_per_pixel = forms.DecimalField(
        label=_("Scale in µm per pixel, if you know it"),
        required=False,
        # Browsers turn what is no number in a field for numbers into nothing, and "0,5" into 5.
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        **SCALE,
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["visibility"].initial = user.last_visibility or None

    def clean(self) -> dict[str, Any]:
        """The one choice as `visibility` and `forget`."""
        cleaned = self.cleaned_data
        if choice := cleaned.get("visibility"):
            cleaned["forget"] = choice == FORGET
            cleaned["visibility"] = Visibility.PRIVATE if choice == FORGET else Visibility(choice)
        return cleaned
