"""Counting what the models answer, week by week, so that a page about drift reads rows and scans nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now

from ml import gate
from ml.images import from_bytes
from predictions.models import PatchImage, Prediction, Purpose, Status
from reviews.models import Week

WEEKS_BACK = 26
SAMPLE = 200  # patches of a week that are measured
MEASURED_AT_ONCE = 6  # weeks a run: about a second each, and a task has 45
STALE_AFTER = timedelta(days=14)  # a week that ended before its last count stays as it was counted

# What people sent, by the first answer of each model: re-runs and shadows would show old patches as new.
COUNT = """
WITH answered AS (
    SELECT model_version_id, date_trunc('week', finished_at AT TIME ZONE 'UTC')::date AS week,
        probability, threshold, flags
    FROM predictions_prediction
    WHERE status = 'succeeded' AND purpose = 'upload'
        AND finished_at >= date_trunc('week', statement_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
            - %(back)s * interval '1 week'
), flagged AS (
    SELECT model_version_id, week, jsonb_object_agg(flag, number) AS flags FROM (
        SELECT model_version_id, week, flag, count(*) AS number
        FROM answered, unnest(flags) AS flag GROUP BY model_version_id, week, flag
    ) AS one GROUP BY model_version_id, week
), counted AS (
    SELECT model_version_id, week, count(*) AS number, avg(probability) AS score,
        coalesce(stddev_samp(probability), 0) AS score_deviation,
        count(*) FILTER (WHERE probability >= threshold) AS positive,
        count(*) FILTER (WHERE flags <> '{}') AS flagged
    FROM answered GROUP BY model_version_id, week
)
INSERT INTO reviews_week AS known (model_version_id, week, number, score, score_deviation, positive, flagged, flags,
    sampled, counted_at)
SELECT model_version_id, week, number, score, score_deviation, positive, flagged,
    coalesce(flagged.flags, '{}'::jsonb), 0, statement_timestamp()
FROM counted LEFT JOIN flagged USING (model_version_id, week)
ON CONFLICT (model_version_id, week) DO UPDATE SET number = EXCLUDED.number, score = EXCLUDED.score,
    score_deviation = EXCLUDED.score_deviation, positive = EXCLUDED.positive, flagged = EXCLUDED.flagged,
    flags = EXCLUDED.flags, counted_at = EXCLUDED.counted_at
"""


def count_weeks() -> None:
    """Bring the counts up to date: all of the last 26 weeks the first time, then this week and the last.

    Weeks that were not measured yet are measured, the newest first and a few a run; this week and the last again.
    """
    is_first = not Week.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"back": WEEKS_BACK if is_first else 1})
    due = Week.objects.filter(Q(measured_at__isnull=True) | Q(week__gte=Now() - STALE_AFTER, sampled__lt=F("number")))
    for week in due.order_by("-week", "model_version")[:MEASURED_AT_ONCE]:
        Week.objects.filter(pk=week.pk).update(**_measured(week))


def _measured(week: Week) -> dict[str, Any]:
    """Means over the patches of the week with the lowest random keys: a fair sample, and the same one next time."""
    answered = Prediction.objects.filter(
        model_version=week.model_version_id,
        status=Status.SUCCEEDED,
        purpose=Purpose.UPLOAD,
        finished_at__date__gte=week.week,
        finished_at__date__lt=week.week + timedelta(weeks=1),
    )
    sample = list(answered.order_by("patch__review_key")[:SAMPLE].values_list("patch", "embedding"))
    stored = PatchImage.objects.filter(patch__in=[patch for patch, _ in sample]).values_list("pixels", flat=True)
    pixels = [from_bytes(one) for one in stored]
    traits = gate.measure_all(np.stack(pixels)) if pixels else np.empty((0, len(gate.TRAITS)))
    embeddings = [np.frombuffer(embedding, "<f2").astype(np.float32) for _, embedding in sample if embedding]
    measured: dict[str, list[float]] = {
        **{name: traits[:, gate.TRAITS.index(name)].tolist() for name in ("stain", "darkness")},
        "distance": gate.distance(np.stack(embeddings)).tolist() if embeddings else [],
    }
    values: dict[str, Any] = {"sampled": len(sample), "measured_at": Now()}
    for name, found in measured.items():
        values[name] = float(np.mean(found)) if found else None
        values[f"{name}_deviation"] = float(np.std(found, ddof=1)) if len(found) > 1 else None
    return values
