"""What the upload page sends beside its files, and the API too."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from predictions.models import Visibility
from predictions.models.patch import FORGET

MIN_UM_PER_PIXEL, MAX_UM_PER_PIXEL = Decimal("0.01"), Decimal(100)


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
        min_value=MIN_UM_PER_PIXEL,
        max_value=MAX_UM_PER_PIXEL,
        max_digits=7,
        decimal_places=4,
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
