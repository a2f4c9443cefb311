"""Models come and go; what they answered stays."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from accounts.models import User
from ml.card import read_card
from predictions.exceptions import NotTried
from predictions.models import Event, ModelVersion, Run
from predictions.services.wake import wake_on_commit


@transaction.atomic
def register_model(*, folder: Path, actor: User | None = None) -> ModelVersion:
    """Make the model in `folder` known; a version that is known stays as it was registered.

    Raises:
        ml.card.ModelError: there is no usable card.
    """
    card = read_card(folder)
    model_version, is_new = ModelVersion.objects.get_or_create(
        version=card.version, defaults={"sha256": card.identity, "card": card.as_dict()}
    )
    if is_new:
        Event.objects.create(kind=Event.Kind.REGISTERED, actor=actor, subject=card.version)
    return model_version


@transaction.atomic
def activate_after_trial(
    *, model_version: ModelVersion, actor: User, trial: Run | None = None, without_trial: bool = False
) -> None:
    """Activate a version that has been compared with the active one, or that may answer `without_trial` as said.

    trial: the shadow run that was looked at; the newest finished one unless it is named. The event tells which.
    A version that was active before has been tried by all who used it: to go back needs no trial.

    Raises:
        NotTried: there is no such finished run, and nobody has said that there need be none.
    """
    finished = Run.objects.trials_of(model_version).filter(state=Run.State.FINISHED)
    found = finished.filter(pk=trial.pk).first() if trial else finished.first()
    if found is None and not without_trial and not has_been_active(model_version):
        raise NotTried
    activate(model_version=model_version, actor=actor, trial=found)


def has_been_active(model_version: ModelVersion) -> bool:
    return Event.objects.filter(kind=Event.Kind.ACTIVATED, subject=model_version.version).exists()


@transaction.atomic
def activate(*, model_version: ModelVersion, actor: User | None = None, trial: Run | None = None) -> None:
    """Let this version answer new patches. Earlier answers keep the version that made them."""
    # All rows are locked in one order, so that two activations at once end in one of the two.
    locked = {row.pk: row for row in ModelVersion.objects.select_for_update().order_by("pk")}
    if locked[model_version.pk].is_active:
        return
    before = next((row.version for row in locked.values() if row.is_active), None)
    ModelVersion.objects.filter(is_active=True).update(is_active=False)
    ModelVersion.objects.filter(pk=model_version.pk).update(is_active=True)
    payload = {"before": before, "trial": str(trial.uuid) if trial else None}
    Event.objects.create(kind=Event.Kind.ACTIVATED, actor=actor, subject=model_version.version, payload=payload)
    wake_on_commit()
