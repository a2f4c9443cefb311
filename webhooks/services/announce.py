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
COMMITTED = timedelta(minutes=5)  # whoever began to write a batch earlier has ended by now
AT_ONCE = 1000

# Three steps, so that each looks at no more than the one before it leaves: batches that are not told yet, an index
# look-up each (positions count from 1 without a gap: the last is the number of files); those of them that have settled
# and have no file that waits, looked for from the end, where it is; and whom to tell of these.
# (SELECT ... LIMIT 1) IS NULL says NOT EXISTS, and binds the planner to one look-up a row: it would else now and then
# read whole tables to join them.
FINISHED = """
WITH untold AS MATERIALIZED (
    SELECT hook.id AS webhook_id, batch.id AS batch_id, batch.uuid, last.position AS files
    FROM webhooks_webhook AS hook
    JOIN accounts_user AS owner ON owner.id = hook.owner_id AND owner.is_active
    CROSS JOIN LATERAL (
        SELECT id, uuid FROM predictions_batch
        WHERE owner_id = hook.owner_id
            AND created_at >= GREATEST(hook.{since}, statement_timestamp() - %(oldest)s)
        ORDER BY created_at
    ) AS batch
    CROSS JOIN LATERAL (
        SELECT position FROM predictions_batchitem WHERE batch_id = batch.id ORDER BY position DESC LIMIT 1
    ) AS last
    WHERE hook.is_active AND (
        SELECT files FROM webhooks_delivery
        WHERE webhook_id = hook.id AND batch_id = batch.id AND files >= last.position
        LIMIT 1
    ) IS NULL
), done AS MATERIALIZED (
    SELECT batch_id
    FROM (SELECT DISTINCT batch_id, uuid FROM untold) AS batch
    WHERE (
        SELECT id FROM predictions_event
        WHERE subject = batch.uuid::text AND kind = 'submitted'
            AND created_at > statement_timestamp() - %(settled)s
        LIMIT 1
    ) IS NULL AND (
        SELECT item.position
        FROM (
            SELECT position, patch_id FROM predictions_batchitem
            WHERE batch_id = batch.batch_id
            ORDER BY position DESC
        ) AS item
        JOIN predictions_patch AS patch ON patch.id = item.patch_id
        LEFT JOIN predictions_prediction AS answer ON answer.id = patch.current_prediction_id
        WHERE answer.id IS NULL OR answer.status NOT IN ('succeeded', 'failed')
        LIMIT 1
    ) IS NULL
)
SELECT webhook_id, batch_id, files FROM untold JOIN done USING (batch_id) LIMIT %(limit)s
"""

# Only what lies behind the old mark is looked at: before it everything is told.
ADVANCE = """
UPDATE webhooks_webhook AS hook
SET told_until = COALESCE((
    SELECT min(batch.created_at) FROM predictions_batch AS batch
    WHERE batch.owner_id = hook.owner_id
        AND batch.created_at >= GREATEST(hook.told_until, statement_timestamp() - %(oldest)s)
        AND batch.created_at < statement_timestamp() - %(committed)s
        AND NOT EXISTS (SELECT FROM webhooks_delivery WHERE webhook_id = hook.id AND batch_id = batch.id)
), statement_timestamp() - %(committed)s)
WHERE hook.is_active AND hook.told_until < statement_timestamp() - %(committed)s
"""


def announce(*, is_thorough: bool = True, settled: timedelta = SETTLED) -> int:
    """Queue a delivery for each webhook and finished batch that has none yet; return how many.

    is_thorough: look at all batches that are young enough; else only at those after the mark up to which each
    webhook is told, which overlooks for a while that an older one grew. Two processes that look at once find the
    same, and one of them writes it. A batch that grew since it was told, and is finished again, is told again.
    """
    bounds: dict[str, Any] = {"oldest": OLDEST, "settled": settled, "limit": AT_ONCE}
    with connection.cursor() as cursor:
        cursor.execute(FINISHED.format(since="created_at" if is_thorough else "told_until"), bounds)
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


def advance() -> None:
    """Move the mark of each webhook up to its oldest batch that is not told, so that the next looks are short."""
    bounds: dict[str, Any] = {"oldest": OLDEST, "committed": COMMITTED}
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE, bounds)


def _counts(batch_ids: set[int]) -> dict[int, dict[str, int]]:
    """Of each batch how many files became what, in one query; total is the sum of the others once all are done."""
    names = tuple(outcomes())
    rows = BatchItem.objects.filter(batch__in=batch_ids).values("batch").annotate(**outcomes())
    return {batch_id: dict(zip(names, counts, strict=True)) for batch_id, *counts in rows.values_list("batch", *names)}
