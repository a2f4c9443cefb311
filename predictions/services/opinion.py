"""A second model's answer about the same patch."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from predictions.models import Event, ModelVersion, Patch, Prediction, Purpose
from predictions.services.forget import refuse_forgotten
from predictions.services.wake import wake_on_commit


@transaction.atomic
def ask(*, patch: Patch, model_version: ModelVersion, actor: User) -> Prediction:
    """Queue this model's prediction of the patch; one that exists is the answer. The current one stays current.

    Raises:
        PixelsDropped, StaysPrivate: this model has not been asked before, and the patch is forgotten or will be.
    """
    if not Prediction.objects.filter(patch=patch, model_version=model_version).exists():
        refuse_forgotten(patch)
    prediction, is_new = Prediction.objects.get_or_create(
        patch=patch,
        model_version=model_version,
        defaults={"purpose": Purpose.RERUN, "threshold": model_version.threshold},
    )
    if is_new:
        Event.objects.create(
            kind=Event.Kind.ASKED, actor=actor, subject=str(patch.uuid), payload={"model": model_version.version}
        )
        wake_on_commit()
    return prediction
