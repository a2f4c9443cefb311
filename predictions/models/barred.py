from __future__ import annotations

from django.conf import settings
from django.db import models


class Barred(models.Model):
    """A hidden patch that was deleted: sent again by its owner, the same pixels are hidden from the start.

    Gone as soon as there is such a patch again, which then says itself that it is hidden.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    sha256 = models.CharField(max_length=64)
    hidden_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "barred"
        constraints = [
            models.UniqueConstraint(fields=["owner", "sha256"], name="%(app_label)s_%(class)s_once_per_owner")
        ]

    def __str__(self) -> str:
        return self.sha256
