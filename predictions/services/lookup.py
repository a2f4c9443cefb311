"""What a submission must know before it writes: in two statements, as each costs as much as a decoded patch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from accounts.models import User
from predictions.exceptions import AccountClosed
from predictions.models import ModelVersion, Patch

LOCK = "SELECT statement_timestamp() FROM accounts_user WHERE id = %s AND is_active FOR NO KEY UPDATE"
# Keys from their sequences, so that rows that name each other can be made together. Those not needed are lost.
LOOK = """
SELECT ARRAY(SELECT id FROM predictions_patch WHERE owner_id = %(owner)s AND sha256 = ANY(%(digests)s)),
    nextval(pg_get_serial_sequence('predictions_batch', 'id')),
    ARRAY(SELECT nextval(pg_get_serial_sequence('predictions_patch', 'id')) FROM generate_series(1, %(number)s)),
    ARRAY(SELECT nextval(pg_get_serial_sequence('predictions_prediction', 'id')) FROM generate_series(1, %(number)s)),
    version.id, version.version, version.threshold
FROM (SELECT) AS once LEFT JOIN predictions_modelversion AS version ON version.is_active
"""


@dataclass(frozen=True)
class Found:
    """known: patches that were sent before, by digest, locked. Keys are for new rows: batch, n patches, n predictions.

    model_version: the active one, None if there is none. Its card is read when it is asked for.
    """

    known: dict[str, Patch]
    batch_key: int
    patch_keys: list[int]
    prediction_keys: list[int]
    model_version: ModelVersion | None


def lock(owner: User) -> datetime:
    """One submission or re-run of a user at a time: quota and "sent before" are decided under this lock.

    Returns the database's time.

    Raises:
        AccountClosed: since the request came.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [owner.pk])
        row = cursor.fetchone()
    if row is None:
        raise AccountClosed
    now: datetime = row[0]
    return now


def look(owner: User, digests: Collection[str]) -> Found:
    """digests: of the n different patches that were sent."""
    with connection.cursor() as cursor:
        cursor.execute(LOOK, {"owner": owner.pk, "digests": list(digests), "number": len(digests)})
        ((known, batch_key, patch_keys, prediction_keys, *version),) = cursor.fetchall()
    rows = Patch.objects.filter(pk__in=known).order_by("pk").select_for_update(no_key=True)
    return Found(
        known={patch.sha256: patch for patch in rows} if known else {},
        batch_key=batch_key,
        patch_keys=patch_keys,
        prediction_keys=prediction_keys,
        model_version=ModelVersion.from_db("default", ["id", "version", "threshold"], version) if version[0] else None,
    )
