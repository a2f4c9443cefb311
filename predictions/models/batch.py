from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Now

from predictions.models.patch import Patch, Source, of_erased_accounts

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


def outcomes() -> dict[str, Count]:
    """Aggregates over BatchItem: how many files became what. What is in none of them waits."""
    answer = "patch__current_prediction__status"
    return {
        "total": Count("pk"),
        "rejected": Count("pk", filter=~Q(error_code="")),
        "deleted": Count("pk", filter=Q(error_code="", patch__isnull=True)),
        "succeeded": Count("pk", filter=Q(**{answer: "succeeded"})),
        "failed": Count("pk", filter=Q(**{answer: "failed"})),
    }


class BatchQuerySet(models.QuerySet["Batch"]):
    def visible_to(self, user: User | AnonymousUser) -> BatchQuerySet:
        """Batches hold file names: they are for their owner, and for staff; of an erased account for nobody."""
        if not user.is_authenticated:
            return self.none()
        return self.exclude(of_erased_accounts()) if user.sees_all else self.filter(owner=user)


class Batch(models.Model):
    """Patches sent together."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="batches", db_index=False
    )
    source = models.CharField(max_length=3, choices=Source.choices)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[BatchQuerySet] = BatchQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        verbose_name_plural = "batches"
        indexes = [models.Index(fields=["owner", "created_at"], name="batch_quota")]

    def __str__(self) -> str:
        return str(self.uuid)

    def counts(self) -> dict[str, int]:
        """How many files are what, in one query: total = rejected + deleted + succeeded + failed + those waiting.

        finished: all but those waiting.
        """
        counts: dict[str, int] = self.items.aggregate(**outcomes())
        counts["finished"] = sum(counts[name] for name in ("rejected", "deleted", "succeeded", "failed"))
        return counts


class BatchItemQuerySet(models.QuerySet["BatchItem"]):
    def with_answer(self) -> BatchItemQuerySet:
        """With the patch, its current prediction and its model, as lists show them."""
        answer = "patch__current_prediction__model_version"
        return self.select_related(answer).defer(f"{answer}__card", "patch__current_prediction__embedding")


class BatchItem(models.Model):
    """What one sent file became: a patch, or an error code. In the order sent.

    A patch that was deleted later leaves its line with neither.
    """

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="items", db_index=False)
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=255)
    patch = models.ForeignKey(Patch, on_delete=models.SET_NULL, null=True, related_name="batch_items")
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)

    objects: ClassVar[BatchItemQuerySet] = BatchItemQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "position"], name="%(app_label)s_%(class)s_position_once"),
            models.CheckConstraint(
                condition=Q(error_code="") | Q(patch__isnull=True),
                name="%(app_label)s_%(class)s_patch_or_error",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.batch_id}/{self.position}"
