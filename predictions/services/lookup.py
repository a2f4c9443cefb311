"""What a submission must know before it writes: asked for at once, as each answer costs as much as a decoded patch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from accounts.models import User
from idc_site.postgres.prepared import Prepared, execute
from predictions.exceptions import AccountClosed
from predictions.models import Barred, ModelVersion, Patch

LOCK = Prepared(
    "lock_owner",
    "SELECT FROM accounts_user WHERE id = %(owner)s AND is_active FOR NO KEY UPDATE",
    {"owner": "bigint"},
)
# Sent together with LOCK, and sees what is there when the lock is. Keys from their sequences, so that rows that name
# each other can be made together. Those not needed are lost.
LOOK = Prepared(
    "look",
    """
SELECT (SELECT is_active FROM accounts_user WHERE id = %(owner)s), statement_timestamp(),
    ARRAY(SELECT id FROM predictions_patch WHERE owner_id = %(owner)s AND sha256 = ANY(%(digests)s)),
    ARRAY(SELECT id FROM predictions_barred WHERE owner_id = %(owner)s AND sha256 = ANY(%(digests)s)),
    nextval('predictions_batch_id_seq'),
    ARRAY(SELECT nextval('predictions_patch_id_seq') FROM generate_series(1, %(number)s)),
    ARRAY(SELECT nextval('predictions_prediction_id_seq') FROM generate_series(1, %(number)s)),
    version.id, version.version, version.threshold
FROM (SELECT) AS once LEFT JOIN predictions_modelversion AS version ON version.is_active
""",
    {"owner": "bigint", "digests": "text[]", "number": "int"},
)


@dataclass(frozen=True)
class Found:
    """What is there for some digests.

    now: the database's time. known: patches that were sent before, by digest, locked. barred: what was hidden when it
    was deleted, by digest. Keys are for new rows: one batch, n patches, n predictions. model_version: the active one,
    None if there is none. Its card is read when it is asked for.
    """

    now: datetime
    known: dict[str, Patch]
    barred: dict[str, Barred]
    batch_key: int
    patch_keys: list[int]
    prediction_keys: list[int]
    model_version: ModelVersion | None


def lock(owner: User) -> None:
    """One at a time of what counts against the quota of `owner`. `look` does the same on its way.

    Raises:
        AccountClosed: since the request came.
    """
    with connection.cursor() as cursor:
        execute(cursor, {"owner": owner.pk}, LOCK)
        if not cursor.rowcount:
            raise AccountClosed


def look(owner: User, digests: Collection[str]) -> Found:
    """Lock the owner, so that quota and "sent before" are decided for one submission at a time, and look.

    digests: of the n different patches that were sent.

    Raises:
        AccountClosed: since the request came.
    """
    with connection.cursor() as cursor:
        execute(cursor, {"owner": owner.pk, "digests": list(digests), "number": len(digests)}, LOCK, LOOK)
        ((is_active, now, known, barred, batch_key, patch_keys, prediction_keys, *version),) = cursor.fetchall()
    if not is_active:
        raise AccountClosed
    patches = _locked(known) if known else {}
    if len(patches) < len(known):
        return look(owner, digests)  # one was deleted in this very moment, and maybe barred
    return Found(
        now=now,
        known=patches,
        barred={one.sha256: one for one in Barred.objects.filter(pk__in=barred)} if barred else {},
        batch_key=batch_key,
        patch_keys=patch_keys,
        prediction_keys=prediction_keys,
        model_version=ModelVersion.from_db("default", ["id", "version", "threshold"], version) if version[0] else None,
    )


def _locked(keys: Collection[int]) -> dict[str, Patch]:
    """By digest, those that are still there."""
    rows = Patch.objects.filter(pk__in=keys).order_by("pk").select_for_update(no_key=True)
    return {patch.sha256: patch for patch in rows}
