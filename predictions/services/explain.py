"""Asking where the model looked."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from predictions.exceptions import NotAnswered, PixelsDropped
from predictions.models import Event, Explanation, Prediction, Status
from predictions.models.job import another_try
from predictions.services.wake import wake_on_commit


@transaction.atomic
def explain(*, prediction: Prediction, actor: User) -> Explanation:
    """Queue the map of an answer. Asking again is answered with the row that exists; a failed one is tried again.

    Raises:
        NotAnswered: there is no answer yet, or none at all.
        PixelsDropped: there is nothing any more to look at.
    """
    answered = Prediction.objects.select_related("patch").filter(pk=prediction.pk, status=Status.SUCCEEDED).first()
    if answered is None:
        raise NotAnswered
    if not answered.patch.has_pixels:
        raise PixelsDropped
    explanation, is_new = Explanation.objects.get_or_create(prediction=prediction)
    failed = Explanation.objects.filter(pk=explanation.pk, status=Status.FAILED)
    if is_new or failed.update(**another_try()):
        explanation.refresh_from_db()
        Event.objects.create(kind=Event.Kind.EXPLAINED, actor=actor, subject=str(prediction.uuid))
        wake_on_commit()
    return explanation
