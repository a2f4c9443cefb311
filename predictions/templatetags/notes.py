from django import template

from predictions import notes
from predictions.models import Prediction

register = template.Library()


@register.filter
def note_sentences(prediction: Prediction) -> list[str]:
    """What a reader should know about the patch and its answer, in plain sentences."""
    return notes.sentences(prediction)
