from __future__ import annotations

from django.conf import settings
from django.db import models


class Usage(models.Model):
    """How many patches a user sent in one hour with one token, or with none (the browser)."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    token = models.UUIDField(null=True)  # no foreign key: what a token used counts when it is revoked, too
    hour = models.DateTimeField()
    number = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "usage"
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "hour", "token"], nulls_distinct=False, name="%(app_label)s_%(class)s_once_an_hour"
            )
        ]

    def __str__(self) -> str:
        return f"{self.owner_id}, {self.hour:%Y-%m-%d %H}"
