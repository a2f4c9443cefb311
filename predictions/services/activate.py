"""Models come and go; what they answered stays."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.db.models import Exists, Q

from accounts.models import User
from ml.card import read_card
from predictions.exceptions import NotTried, TrialIsEmpty, TrialIsStale
from predictions.models import Event, ModelVersion, Prediction, Run, Status
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

    trial: the shadow run that was looked at; the newest that counts unless it is named. The event tells which.
    A version that was active before has been tried by all who used it: to go back needs no trial.

    Raises:
        NotTried, TrialIsStale, TrialIsEmpty: as of `trial_that_counts`, and nobody has said that there need be none.
    """
    _locked()  # so that what the trial compared with is still the active version when this one takes its place
    try:
        found = trial_that_counts(model_version, named=trial)
    except NotTried:
        if not without_trial and not has_been_active(model_version):
            raise
        found = None
    activate(model_version=model_version, actor=actor, trial=found)


def trial_that_counts(model_version: ModelVersion, *, named: Run | None = None) -> Run:
    """The newest shadow run, or the `named` one, that says what would change now if this version answered.

    Raises:
        NotTried: none is finished.
        TrialIsStale: the newest finished one compared with a version that is not the active one any more.
        TrialIsEmpty: it answered nothing.
    """
    finished = Run.objects.trials_of(model_version).filter(state=Run.State.FINISHED)
    if named:
        finished = finished.filter(pk=named.pk)
    current = finished.filter(compared_with__is_active=True)
    # What it knew may be failures alone, of what an owner has asked for.
    answers = Prediction.objects.filter(model_version=model_version, status=Status.SUCCEEDED)
    found = current.filter(Q(known__gt=0) | Q(succeeded__gt=0), Exists(answers)).first()
    if found:
        return found
    if current.exists():
        raise TrialIsEmpty
    raise TrialIsStale if finished.exists() else NotTried


def has_been_active(model_version: ModelVersion) -> bool:
    return Event.objects.filter(kind=Event.Kind.ACTIVATED, subject=model_version.version).exists()


@transaction.atomic
def activate(*, model_version: ModelVersion, actor: User | None = None, trial: Run | None = None) -> None:
    """Let this version answer new patches. Earlier answers keep the version that made them."""
    locked = _locked()
    if locked[model_version.pk].is_active:
        return
    before = next((row.version for row in locked.values() if row.is_active), None)
    ModelVersion.objects.filter(is_active=True).update(is_active=False)
    ModelVersion.objects.filter(pk=model_version.pk).update(is_active=True)
    payload = {"before": before, "trial": str(trial.uuid) if trial else None}
    Event.objects.create(kind=Event.Kind.ACTIVATED, actor=actor, subject=model_version.version, payload=payload)
    wake_on_commit()


def _locked() -> dict[int, ModelVersion]:
    """All versions by key, locked in one order, so that two activations at once end in one of the two."""
    return {row.pk: row for row in ModelVersion.objects.without_card().select_for_update().order_by("pk")}
