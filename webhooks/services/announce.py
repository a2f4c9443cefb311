"""Noticing what receivers want to be told. Nothing in the path of a prediction knows of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection

from predictions.models import Batch, BatchItem
from predictions.models.batch import outcomes
from webhooks.models import Delivery
from webhooks.services.messages import batch_finished

OLDEST = timedelta(days=3)  # a batch that takes longer is not told of
SETTLED = timedelta(seconds=5)  # a sender of many requests pauses between them: the batch is not done for that
AT_ONCE = 100

# Positions count from 1 without a gap, so the last is the number of files. Whatever was told already is dropped
# first, by one look into an index; then the files that wait are looked for, among batches that are not told yet.
FINISHED = """
SELECT hook.id, batch.id, last.position
FROM webhooks_webhook AS hook
JOIN accounts_user AS owner ON owner.id = hook.owner_id AND owner.is_active
JOIN predictions_batch AS batch ON batch.owner_id = hook.owner_id
    AND batch.created_at >= GREATEST(hook.created_at, statement_timestamp() - %(within)s)
CROSS JOIN LATERAL (
    SELECT position FROM predictions_batchitem WHERE batch_id = batch.id ORDER BY position DESC LIMIT 1
) AS last
WHERE hook.is_active
    AND NOT EXISTS (
        SELECT FROM webhooks_delivery
        WHERE webhook_id = hook.id AND batch_id = batch.id AND files >= last.position
    )
    AND NOT EXISTS (
        SELECT FROM predictions_event
        WHERE subject = batch.uuid::text AND kind = 'submitted'
            AND created_at > statement_timestamp() - %(settled)s
    )
    AND NOT EXISTS (
        SELECT FROM predictions_batchitem AS item
        JOIN predictions_patch AS patch ON patch.id = item.patch_id
        LEFT JOIN predictions_prediction AS answer ON answer.id = patch.current_prediction_id
        WHERE item.batch_id = batch.id
            AND (answer.id IS NULL OR answer.status NOT IN ('succeeded', 'failed'))
    )
LIMIT %(limit)s
"""


def announce(*, within: timedelta = OLDEST, settled: timedelta = SETTLED) -> int:
    """Queue a delivery for each webhook and finished batch that has none yet; return how many.

    within: how young a batch must be. Two processes that look at once find the same, and one of them writes it.
    A batch that grew since it was told, and is finished again, is told again.
    """
    bounds: dict[str, Any] = {"within": within, "settled": settled, "limit": AT_ONCE}
    with connection.cursor() as cursor:
        cursor.execute(FINISHED, bounds)
        found: list[tuple[int, int, int]] = cursor.fetchall()
    if not found:
        return 0
    counts = _counts({batch_id for _, batch_id, _ in found})
    batches = Batch.objects.in_bulk(counts)
    messages = [
        batch_finished(webhook_id=webhook_id, batch=batches[batch_id], counts=counts[batch_id])
        for webhook_id, batch_id, files in found
        # What grew or was erased since it was found comes with the next look.
        if batch_id in counts and counts[batch_id]["total"] == files
    ]
    Delivery.objects.bulk_create(messages, ignore_conflicts=True)
    return len(messages)


def _counts(batch_ids: set[int]) -> dict[int, dict[str, int]]:
    """Of each batch how many files became what, in one query; total is the sum of the others once all are done."""
    names = tuple(outcomes())
    rows = BatchItem.objects.filter(batch__in=batch_ids).values("batch").annotate(**outcomes())
    return {batch_id: dict(zip(names, counts, strict=True)) for batch_id, *counts in rows.values_list("batch", *names)}
