"""What a reader should know about a patch before trusting its answer, in plain sentences."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ml.gate import TRAINED_UM_PER_PIXEL
from predictions.models import Prediction

# What the decoder noted (quality) and what the gate flagged, the weightiest first.
SENTENCES = {
    "drawn": gettext_lazy("This is a drawn example. It shows no tissue, and the answer means nothing."),
    "not_he": gettext_lazy(
        "This does not look like H&E-stained tissue: the colours are not those the model knows. "
        "The answer cannot be relied on."
    ),
    "no_tissue": gettext_lazy("There is little or no tissue in this patch, so there is little to answer about."),
    "blurred": gettext_lazy(
        "The patch is less sharp than those the model knows; it may be out of focus or enlarged. The answer may be off."
    ),
    "scale": gettext_lazy(
        "The patch seems to show tissue at another scale than the model knows, which is about 4 µm per pixel. "
        "The answer may be off."
    ),
    "scale_stated": gettext_lazy(
        "At the scale you stated, the patch shows %(scale).2g µm per pixel; the model was trained at about "
        "%(trained).0f. The answer cannot be relied on."
    ),
    "unlike": gettext_lazy(
        "To the model, this patch is unlike those it was trained on. The answer may mean little here."
    ),
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
SAID_BY = {"not_he": {"grey", "one_bit"}}  # a flag that these notes have explained already is not said again


def sentences(prediction: Prediction) -> list[str]:
    """The warnings and notes of a patch and its answer, the weightiest first."""
    patch = prediction.patch
    known = {*patch.quality.get("notes", []), *prediction.flags}
    figures = {"scale": patch.shown_um_per_pixel or 0, "trained": TRAINED_UM_PER_PIXEL}
    found = [
        str(sentence) % figures if code == "scale_stated" else str(sentence)
        for code, sentence in SENTENCES.items()
        if code in known and not SAID_BY.get(code, set()) & known
    ]
    if prediction.flags and patch.is_public and not patch.admitted_at and not patch.hidden_at:
        found.append(_("Because of this, the patch waits for a member of staff before it appears in the gallery."))
    return found
