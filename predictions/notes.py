"""What a reader should know about a patch before trusting its answer, in plain sentences."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ml.images import PATCH_SIDE
from predictions.models import Patch

TRAINED_UM_PER_PIXEL = 4.0  # "roughly": general knowledge about scans at 2.5x, not stated with the data
SCALE_FACTOR = 2.0  # tissue shown at more than twice or less than half the trained scale is worth a warning

SENTENCES = {
    "drawn": gettext_lazy("This is a drawn example. It shows no tissue, and the answer means nothing."),
    "rescaled": gettext_lazy(
        "The image was resized to 50 x 50 pixels. The model knows patches that show about 200 µm of tissue; "
        "the answer holds only if yours does too."
    ),
    "grey": gettext_lazy("The image has no colour, but the model relies on the colours of H&E."),
    "one_bit": gettext_lazy("The image is black and white only, but the model relies on the colours of H&E."),
    "palette": gettext_lazy("The image had a reduced palette of colours."),
    "alpha": gettext_lazy("The image was partly transparent; it was laid on white."),
    "rotated": gettext_lazy("The image was turned upright, as its camera data said."),
}


def sentences(patch: Patch) -> list[str]:
    """The warnings and notes of a patch, the weightiest first."""
    notes: list[str] = patch.quality.get("notes", [])
    found = [str(sentence) for note, sentence in SENTENCES.items() if note in notes]
    if patch.um_per_pixel is not None:
        scale = patch.um_per_pixel * max(patch.source_width, patch.source_height) / PATCH_SIDE
        if not 1 / SCALE_FACTOR <= scale / TRAINED_UM_PER_PIXEL <= SCALE_FACTOR:
            found.append(
                _(
                    "At the scale you stated, the patch shows %(scale).2g µm per pixel; the model was trained at "
                    "about %(trained).0f. Its answer cannot be relied on."
                )
                % {"scale": scale, "trained": TRAINED_UM_PER_PIXEL}
            )
    return found
