"""What is kept: patches, the predictions about them, and the models that made these."""

from predictions.models.batch import Batch, BatchItem
from predictions.models.event import Event
from predictions.models.model_version import ModelVersion
from predictions.models.patch import Patch, PatchImage, Source, Visibility
from predictions.models.prediction import Prediction, Priority, Purpose, Status
from predictions.models.worker_heartbeat import WorkerHeartbeat

__all__ = [
    "Batch",
    "BatchItem",
    "Event",
    "ModelVersion",
    "Patch",
    "PatchImage",
    "Prediction",
    "Priority",
    "Purpose",
    "Source",
    "Status",
    "Visibility",
    "WorkerHeartbeat",
]
