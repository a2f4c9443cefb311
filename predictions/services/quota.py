"""How many patches a user, and each token, may send in a day: the hour that runs and the 23 before it.

To ask another model about one counts as sending it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Now

from accounts.models import ApiToken, User
from idc_site.postgres.prepared import Prepared, execute
from predictions.exceptions import QuotaExceeded
from predictions.models import Usage

DAY = timedelta(hours=24)
# Counts, unless that would be more than is left: then no row is touched.
SPEND = Prepared(
    "spend",
    """
WITH today AS (
    SELECT coalesce(sum(number), 0) AS of_owner, coalesce(sum(number) FILTER (WHERE token = %(token)s), 0) AS of_token
    FROM predictions_usage
    WHERE owner_id = %(owner)s AND hour > statement_timestamp() - %(day)s
)
INSERT INTO predictions_usage AS used (owner_id, token, hour, number)
SELECT %(owner)s, %(token)s, date_trunc('hour', statement_timestamp()), %(number)s FROM today
WHERE of_owner + %(number)s <= coalesce((SELECT patches_per_day FROM accounts_user WHERE id = %(owner)s), %(most)s)
    AND (%(most_of_token)s IS NULL OR of_token + %(number)s <= %(most_of_token)s)
ON CONFLICT (owner_id, hour, token) DO UPDATE SET number = used.number + EXCLUDED.number
""",
    {
        "owner": "bigint",
        "token": "uuid",
        "number": "int",
        "day": "interval",
        "most": "bigint",
        "most_of_token": "bigint",
    },
)


def most_a_day(owner: User) -> int:
    """How many patches `owner` may send: what everybody may, unless staff have set another number."""
    return settings.PATCHES_PER_DAY if owner.patches_per_day is None else owner.patches_per_day


def used_today(owner: User, token: ApiToken | None = None) -> int:
    """How many patches `owner` has sent, or of these only what was sent with `token`."""
    used = Usage.objects.filter(owner=owner, hour__gt=Now() - DAY)
    if token:
        used = used.filter(token=token.uuid)
    return used.aggregate(total=Sum("number"))["total"] or 0


def left_today(owner: User, token: ApiToken | None = None) -> int:
    """How many patches `owner` may still send, with this token."""
    left = most_a_day(owner) - used_today(owner)
    if token and token.patches_per_day is not None:
        left = min(left, token.patches_per_day - used_today(owner, token))
    return max(left, 0)


def spend(owner: User, token: ApiToken | None, number: int) -> None:
    """Count `number` patches. Call it under the lock on the owner's row.

    Raises:
        QuotaExceeded: that is more than is left; nothing is counted.
    """
    parameters: dict[str, Any] = {
        "owner": owner.pk,
        "token": token.uuid if token else None,
        "number": number,
        "day": DAY,
        "most": settings.PATCHES_PER_DAY,
        "most_of_token": token.patches_per_day if token else None,
    }
    with connection.cursor() as cursor:
        execute(cursor, parameters, SPEND)
        if not cursor.rowcount:
            raise QuotaExceeded
