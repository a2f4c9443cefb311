from django import template

from predictions import notes
from predictions.models import Patch

register = template.Library()


@register.filter
def note_sentences(patch: Patch) -> list[str]:
    """What a reader should know about the patch, in plain sentences."""
    return notes.sentences(patch)
