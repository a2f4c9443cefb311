"""What is kept: patches, the predictions about them, the maps of these, the models that made them, and their runs."""

from predictions.models.barred import Barred
from predictions.models.batch import Batch, BatchItem
from predictions.models.event import Event
from predictions.models.explanation import Explanation
from predictions.models.idempotency_key import IdempotencyKey
from predictions.models.job import Job, Status
from predictions.models.model_version import ModelVersion
from predictions.models.patch import Patch, PatchImage, Source, Visibility
from predictions.models.prediction import Prediction, Priority, Purpose
from predictions.models.run import MOST_CHOSEN, Run
from predictions.models.usage import Usage
from predictions.models.worker_heartbeat import WorkerHeartbeat

__all__ = [
    "MOST_CHOSEN",
    "Barred",
    "Batch",
    "BatchItem",
    "Event",
    "Explanation",
    "IdempotencyKey",
    "Job",
    "ModelVersion",
    "Patch",
    "PatchImage",
    "Prediction",
    "Priority",
    "Purpose",
    "Run",
    "Source",
    "Status",
    "Usage",
    "Visibility",
    "WorkerHeartbeat",
]
