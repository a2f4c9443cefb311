from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from predictions.models.batch import Batch


class IdempotencyKey(models.Model):
    """What a request with this key became, so that a client that never saw the answer can ask again.

    fingerprint: SHA-256 of all that was sent. first, last: the places of its files in the batch.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="+")
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="%(app_label)s_%(class)s_once_per_owner")]

    def __str__(self) -> str:
        return self.key
