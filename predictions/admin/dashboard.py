"""What staff see first: what waits, what failed, who works, and how the active model fares with reviewers.

Every count stops at COUNTED rows and follows an index.
"""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from idc_site.health import WORKER_SILENCE
from predictions.admin.base import COUNTED
from predictions.models import Explanation, ModelVersion, Patch, Prediction, Status, WorkerHeartbeat
from reviews.evidence import Share, evidence_of
from reviews.figures import Evidence
from reviews.models import Report

KEPT = 300  # seconds that the figures of the model are kept


def dashboard() -> dict[str, Any]:
    """For the template admin/index.html."""
    flagged = Patch.objects.filter(visibility="public", hidden_at__isnull=True, admitted_at__isnull=True)
    flagged = flagged.filter(current_prediction__status=Status.SUCCEEDED).exclude(current_prediction__flags=[])
    workers = WorkerHeartbeat.objects.filter(seen_at__gte=Now() - WORKER_SILENCE)
    active = ModelVersion.objects.active()
    return {
        "numbers": [
            _line(_("waiting predictions"), Prediction.objects.filter(status=Status.QUEUED), "status__exact=queued"),
            _line(_("failed predictions"), Prediction.objects.filter(status=Status.FAILED), "status__exact=failed"),
            _line(_("waiting maps"), Explanation.objects.filter(status=Status.QUEUED), "status__exact=queued"),
            _line(_("open reports"), Report.objects.open(), "outcome__exact=open"),
            _line(_("workers seen in the last seconds"), workers),
            _line(_("flagged, kept out of the gallery"), flagged, "visibility__exact=public&flagged=yes&hidden=no"),
            _line(_("hidden patches"), Patch.objects.filter(hidden_at__isnull=False), "hidden=yes"),
        ],
        "active_model": active,
        "evidence": _evidence(active) if active else None,
    }


def _line(name: str, rows: QuerySet[Any], query: str = "") -> dict[str, str]:
    address = reverse(f"admin:{rows.model._meta.app_label}_{rows.model._meta.model_name}_changelist")
    return {"name": name, "number": _up_to(rows), "url": f"{address}?{query}" if query else address}


def _up_to(rows: QuerySet[Any]) -> str:
    number = rows.order_by().values("pk")[: COUNTED + 1].count()
    return f"{COUNTED:,}+" if number > COUNTED else f"{number:,}"


def _evidence(model_version: ModelVersion) -> Evidence:
    """Of all reviewed patches, kept for a few minutes: its intervals are resampled a thousand times."""
    key = f"admin-figures-{model_version.pk}"
    found: Evidence | None = cache.get(key)
    if found is None:
        found = evidence_of(model_version, Share.ALL)
        cache.set(key, found, KEPT)
    return found
