from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class WorkerHeartbeat(models.Model):
    """What a worker process says of itself every few seconds. problem: why it can answer with no model."""

    worker = models.CharField(max_length=120, primary_key=True)
    model_hashes = ArrayField(models.CharField(max_length=64), default=list)
    problem = models.TextField(blank=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.worker
