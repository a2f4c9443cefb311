"""Asking where the model looked."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from predictions.exceptions import NotAnswered
from predictions.models import Event, Explanation, Prediction, Status
from predictions.services.queue import another_try
from predictions.services.wake import wake_on_commit


@transaction.atomic
def explain(*, prediction: Prediction, actor: User) -> Explanation:
    """Queue the map of an answer. Asking again is answered with the row that exists; a failed one is tried again.

    Raises:
        NotAnswered: there is no answer yet, or none at all.
    """
    if not Prediction.objects.filter(pk=prediction.pk, status=Status.SUCCEEDED).exists():
        raise NotAnswered
    explanation, is_new = Explanation.objects.get_or_create(prediction=prediction)
    failed = Explanation.objects.filter(pk=explanation.pk, status=Status.FAILED)
    if is_new or failed.update(**another_try()):
        explanation.refresh_from_db()
        Event.objects.create(kind=Event.Kind.EXPLAINED, actor=actor, subject=str(prediction.uuid))
        wake_on_commit()
    return explanation
