"""A second model's answer about the same patch, and rows that were made in the background and are wanted now."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Least, Now

from accounts.models import ApiToken, User
from predictions.exceptions import UnknownPatch
from predictions.models import Event, ModelVersion, Patch, Prediction, Priority, Purpose, Status
from predictions.models.job import another_try
from predictions.services import quota
from predictions.services.forget import refuse_forgotten
from predictions.services.lookup import lock
from predictions.services.wake import wake_on_commit


@transaction.atomic
def ask(*, patch: Patch, model_version: ModelVersion, actor: User, token: ApiToken | None = None) -> Prediction:
    """Queue this model's prediction of the patch; one that exists is the answer. The current one stays current.

    One that was made silently is shown from now on, and one that waits in the background waits no longer. A new one
    counts as a patch that is sent. actor: the owner of the patch. token: what asks, if it is a program.

    Raises:
        AccountClosed: since the request came.
        QuotaExceeded: this model has not been asked before, and the owner may send nothing more today.
        PixelsDropped, StaysPrivate: this model has not been asked before, and the patch is forgotten or will be.
        UnknownPatch: it was deleted since the request came.
    """
    # Person, patch, prediction: in this order they are locked everywhere. The patch as it is now, not as it was read.
    lock(actor)
    locked = Patch.objects.select_for_update(no_key=True).filter(pk=patch.pk).first()
    if locked is None:
        raise UnknownPatch
    patch = locked
    if not Prediction.objects.filter(patch=patch, model_version=model_version).exists():
        refuse_forgotten(patch)
    # Locked, so that a run that is being stopped does not remove the row in this moment.
    prediction, is_new = Prediction.objects.select_for_update(no_key=True).get_or_create(
        patch=patch,
        model_version=model_version,
        defaults={"purpose": Purpose.RERUN, "threshold": model_version.threshold},
    )
    if is_new:
        quota.spend(actor, token, 1)
    if raise_background([prediction], purpose=Purpose.RERUN, priority=Priority.INTERACTIVE):
        prediction.refresh_from_db(fields=["purpose", "priority", "status"])
        is_new = True
    if is_new:
        Event.objects.create(
            kind=Event.Kind.ASKED, actor=actor, subject=str(patch.uuid), payload={"model": model_version.version}
        )
        wake_on_commit()
    return prediction


def raise_background(predictions: Collection[Prediction], *, purpose: Purpose, priority: Priority) -> bool:
    """Let an owner have what was made in the background, or is about to be; return whether there was any.

    predictions: locked. A shadow becomes one of `purpose`, and is tried again if it had failed; what waits is at least
    of `priority`.
    """
    keys = [one.pk for one in predictions if one.is_shadow or one.priority == Priority.BACKGROUND]
    if not keys:
        return False
    rows = Prediction.objects.filter(pk__in=keys)
    raised = rows.filter(purpose=Purpose.SHADOW, status=Status.FAILED).update(**another_try())
    is_unfinished = Q(status__in=(Status.QUEUED, Status.RUNNING))
    raised += rows.filter(Q(purpose=Purpose.SHADOW) | is_unfinished & Q(priority__gt=priority)).update(
        purpose=Case(When(purpose=Purpose.SHADOW, then=Value(purpose)), default=F("purpose")),
        priority=Least("priority", Value(priority)),
        # Its owner waits since now; what is at work was queued before it was started, as its receipt will say.
        queued_at=Case(
            When(status=Status.QUEUED, then=Now()),
            When(status=Status.RUNNING, then=F("started_at")),
            default=F("queued_at"),
        ),
    )
    return bool(raised)
