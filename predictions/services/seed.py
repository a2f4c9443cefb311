"""Fills a database with many rows that look used, for development and benchmarks. Nothing in it is true.

Written in SQL, as a hundred thousand rows are to take seconds. Only `manage.py seed` and benchmarks load this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import connection, transaction
from psycopg2.extras import execute_values

from accounts.models import REVIEWERS, User
from ml.synthetic import draw_patch
from predictions.models import ModelVersion, Patch
from webhooks.models import PauseReason, Webhook

DRAWINGS = 48  # different ones, from few cells to many; a corner pixel makes each patch's pixels its own
IN_A_BATCH = 20
PEOPLE = 5
PEOPLE_WHO_REVIEW = 3

# What each row becomes, drawn once, so that patch, prediction and reviews agree. `depth` is how cellular it is drawn,
# which the invented probability follows; `truth` is what invented reviewers mostly see.
PLAN = """
CREATE TEMP TABLE seeded ON COMMIT DROP AS
SELECT number,
    (%(owners)s::bigint[])[1 + number / %(in_a_batch)s %% cardinality(%(owners)s)] AS owner,
    number / %(in_a_batch)s AS batch, number %% %(in_a_batch)s AS place,
    nextval('predictions_patch_id_seq') AS patch,
    nextval('predictions_prediction_id_seq') AS prediction,
    number > %(rows)s - %(with_pixels)s OR failing < %(failed)s AS has_pixels, depth,
    probability, random() < probability AS truth,
    number > %(rows)s - %(with_pixels)s AND share < %(public)s AS is_public,
    failing < %(failed)s AS is_failed,
    CASE WHEN flagging < %(flagged)s / 2 THEN '{unlike}' WHEN flagging < %(flagged)s THEN '{blurred}' ELSE '{}' END
        AS flags,
    statement_timestamp() - %(age)s * ((%(rows)s - number)::float / %(rows)s) - interval '1 minute' AS sent_at
FROM (
    SELECT number, random() AS share, random() AS failing, random() AS flagging, depth,
        1 / (1 + exp(-(12 * (depth - 0.62) + 3 * (random() - 0.5)))) AS probability
    FROM (SELECT number::int, power(random(), 1.6) AS depth FROM generate_series(1, %(rows)s) AS number) AS one
) AS drawn
"""
FILL = """
INSERT INTO predictions_patch (id, uuid, owner_id, sha256, source_width, source_height, original_name, visibility,
    quality, source, current_prediction_id, pixels_dropped_at, created_at)
SELECT patch, gen_random_uuid(), owner, md5(number::text) || md5(number::text), 50, 50, 'drawn-' || number || '.png',
    CASE WHEN is_public THEN 'public' ELSE 'private' END,
    CASE WHEN number % 10 = 0 THEN '{"notes": ["drawn"]}' ELSE '{"notes": []}' END::jsonb,
    CASE WHEN batch % 3 = 0 THEN 'web' ELSE 'api' END, prediction,
    CASE WHEN has_pixels THEN NULL ELSE sent_at + interval '2 seconds' END, sent_at
FROM seeded;
INSERT INTO predictions_prediction (id, uuid, patch_id, model_version_id, purpose, priority, status, attempt,
    attempt_limit, probability, threshold, flags, queued_at, next_attempt_at, started_at, finished_at, error_code,
    error_message)
SELECT prediction, gen_random_uuid(), patch, version.id, 'upload', CASE WHEN place < 3 THEN 0 ELSE 10 END,
    CASE WHEN is_failed THEN 'failed' ELSE 'succeeded' END, CASE WHEN is_failed THEN 3 ELSE 1 END, 3,
    CASE WHEN is_failed THEN NULL ELSE probability END, version.threshold, flags::varchar(20)[], sent_at, sent_at,
    sent_at + place * interval '15 ms', sent_at + place * interval '15 ms' + interval '40 ms',
    CASE WHEN is_failed THEN 'worker_lost' ELSE '' END,
    CASE WHEN is_failed THEN 'The analysis was interrupted each time it was tried. You can try again.' ELSE '' END
FROM seeded CROSS JOIN predictions_modelversion AS version WHERE version.is_active;
"""
BATCHES = """
INSERT INTO predictions_batch (uuid, owner_id, source, created_at)
SELECT gen_random_uuid(), owner, CASE WHEN batch % 3 = 0 THEN 'web' ELSE 'api' END, min(sent_at)
FROM seeded GROUP BY batch, owner ORDER BY batch;
CREATE TEMP TABLE seeded_batch ON COMMIT DROP AS
SELECT id, uuid, owner_id, source, created_at, row_number() OVER (ORDER BY id) - 1 AS batch FROM predictions_batch;
INSERT INTO predictions_batchitem (batch_id, position, name, patch_id, error_code, error_message)
SELECT seeded_batch.id, place + 1, 'drawn-' || number || '.png', patch, '', '' FROM seeded JOIN seeded_batch
    USING (batch);
INSERT INTO predictions_batchitem (batch_id, position, name, error_code, error_message)
SELECT id, 100, 'notes.txt', 'not_an_image', 'This is no image.' FROM seeded_batch WHERE batch % 50 = 0;
INSERT INTO predictions_usage (owner_id, token, hour, number)
SELECT owner, NULL, date_trunc('hour', sent_at), count(*) FROM seeded
WHERE sent_at > statement_timestamp() - interval '1 day' GROUP BY owner, date_trunc('hour', sent_at);
INSERT INTO predictions_event (kind, actor_id, subject, payload, created_at)
SELECT 'submitted', owner_id, uuid::text, jsonb_build_object('files', 20, 'new', 20, 'source', source), created_at
FROM seeded_batch ORDER BY id;
"""
DRAW = "CREATE TEMP TABLE drawing (number int PRIMARY KEY, pixels bytea) ON COMMIT DROP"
PIXELS = """
INSERT INTO predictions_patchimage (patch_id, pixels)
SELECT patch, substring(pixels FOR 7497) || substring(int4send(seeded.number) FROM 2)
FROM seeded JOIN drawing ON drawing.number = least(floor(depth * %(drawings)s), %(drawings)s - 1) WHERE has_pixels;
UPDATE predictions_patch SET sha256 = encode(sha256(pixels), 'hex'), allows_review = visibility = 'private'
    AND predictions_patch.id %% 4 = 0
FROM predictions_patchimage WHERE patch_id = predictions_patch.id;
"""
# A second model answered some patches, the newest most; in two of three cases it says the same.
SECOND = """
INSERT INTO predictions_prediction (uuid, patch_id, model_version_id, purpose, priority, status, attempt,
    attempt_limit, probability, threshold, flags, queued_at, next_attempt_at, started_at, finished_at, error_code,
    error_message)
SELECT gen_random_uuid(), patch, version.id, 'rerun', 20, 'succeeded', 1, 3,
    CASE WHEN number % 3 > 0 THEN probability ELSE random() END, version.threshold, '{}', sent_at, sent_at,
    sent_at + interval '8 seconds', sent_at + interval '9 seconds', '', ''
FROM seeded CROSS JOIN (SELECT id, threshold FROM predictions_modelversion WHERE NOT is_active ORDER BY id LIMIT 1)
    AS version
WHERE number % 10 = 1 AND has_pixels AND NOT is_failed;
"""
MODERATION = """
UPDATE predictions_patch SET hidden_at = created_at + interval '1 day', hidden_by_id = %(staff)s
FROM (SELECT patch AS shared, row_number() OVER (ORDER BY number) AS nth FROM seeded WHERE is_public) AS counted
WHERE shared = predictions_patch.id AND nth %% 40 = 1;
UPDATE predictions_patch SET admitted_at = created_at + interval '1 day', admitted_by_id = %(staff)s
FROM seeded WHERE patch = predictions_patch.id AND is_public AND flags <> '{}' AND number %% 4 = 0;
INSERT INTO predictions_event (kind, actor_id, subject, payload, created_at)
SELECT CASE WHEN hidden_at IS NULL THEN 'admitted' ELSE 'hidden' END, %(staff)s, uuid::text, '{}',
    coalesce(hidden_at, admitted_at)
FROM predictions_patch WHERE hidden_at IS NOT NULL OR admitted_at IS NOT NULL;
INSERT INTO reviews_groundtruth (patch_id, answer, source, created_at)
SELECT patch, CASE WHEN truth = (number %% 20 > 0) THEN 'positive' ELSE 'negative' END, 'invented', sent_at
FROM seeded WHERE has_pixels AND number %% 40 = 3;
"""
# Each reviewer has gone through the lowest random keys, the first of them farthest, and answered doubtful ones beside.
REVIEWS = """
CREATE TEMP TABLE asked ON COMMIT DROP AS
SELECT nextval('reviews_draw_id_seq') AS draw, patch, uuid, prediction, truth, sent_at,
    reviewer, rank <= %(walked)s / nth AS is_random, chance
FROM (
    SELECT seeded.patch, uuid, prediction, truth, sent_at, row_number() OVER (ORDER BY review_key) AS rank,
        row_number() OVER (ORDER BY abs(seeded.probability - 0.5)) AS rest
    FROM seeded JOIN predictions_patch ON predictions_patch.id = seeded.patch
    WHERE (visibility = 'public' OR allows_review) AND hidden_at IS NULL AND NOT is_failed AND number %% 10 > 0
) AS open
CROSS JOIN LATERAL (SELECT reviewer, nth, random() AS chance, patch AS again
    FROM unnest(%(reviewers)s::bigint[]) WITH ORDINALITY AS who (reviewer, nth)) AS who
WHERE rank <= %(walked)s / nth OR rest <= %(walked)s / 3;
INSERT INTO reviews_draw (id, uuid, reviewer_id, patch_id, reason, is_random, outcome, drawn_at, closed_at)
SELECT draw, gen_random_uuid(), reviewer, patch, CASE WHEN is_random THEN 'random' ELSE 'doubtful' END, is_random,
    CASE WHEN chance < 0.03 THEN 'skipped' ELSE 'answered' END, sent_at, sent_at + interval '20 seconds'
FROM asked;
INSERT INTO reviews_review (uuid, patch_id, reviewer_id, draw_id, prediction_id, first_answer, answer, comment,
    created_at, changed_at)
SELECT gen_random_uuid(), patch, reviewer, draw, prediction, said, CASE WHEN is_changed THEN 'unsure' ELSE said END, '',
    sent_at + interval '20 seconds', CASE WHEN is_changed THEN sent_at + interval '1 day' END
FROM (
    SELECT asked.*, said, chance > 0.98 AND said <> 'unsure' AS is_changed FROM asked CROSS JOIN LATERAL (
        SELECT CASE WHEN chance < 0.07 THEN 'unsure' WHEN chance < 0.08 THEN 'not_a_patch'
            WHEN truth = (chance > 0.16) THEN 'positive' ELSE 'negative' END AS said
    ) AS saying WHERE chance >= 0.03
) AS answered;
INSERT INTO predictions_event (kind, actor_id, subject, payload, created_at)
SELECT 'reviewed', reviewer, uuid::text, jsonb_build_object('answer', 'seeded'), sent_at + interval '20 seconds'
FROM asked WHERE chance >= 0.03;
UPDATE predictions_patch SET reviewers_say = CASE
    WHEN positive > negative THEN 'positive' WHEN negative > positive THEN 'negative'
    WHEN positive > 0 THEN 'split' ELSE 'undecided' END
FROM (
    SELECT patch_id, count(*) FILTER (WHERE answer = 'positive') AS positive,
        count(*) FILTER (WHERE answer = 'negative') AS negative
    FROM reviews_review GROUP BY patch_id
) AS said WHERE said.patch_id = predictions_patch.id;
INSERT INTO reviews_report (uuid, patch_id, reporter_id, reason, comment, has_hidden, outcome, created_at)
SELECT gen_random_uuid(), patch, (%(reviewers)s::bigint[])[1], 'other', 'invented', false, 'open', sent_at
FROM (
    SELECT patch, sent_at, row_number() OVER (ORDER BY number) AS nth
    FROM seeded JOIN predictions_patch ON id = patch WHERE is_public AND hidden_at IS NULL
) AS shared WHERE nth %% 130 = 1;
"""


@dataclass(frozen=True)
class Seeded:
    """What was made. password: of every one of the people, for this database alone."""

    staff: User
    people: Sequence[User]
    password: str


def fill(
    *,
    owners: Sequence[int],
    rows: int,
    with_pixels: int | None = None,
    public: float = 0.4,
    failed: float = 0.01,
    flagged: float = 0.06,
    days: int = 180,
) -> None:
    """`rows` patches of these owners in turn, each with its answer by the active model. Call it in a transaction.

    with_pixels: how many of the newest are to get pixels (None: all); of these the share `public` is public. The others
    are as if their owners had wanted the answer alone, unless they failed. failed, flagged: shares of all. The plan, a
    table `seeded`, stays until the transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        parameters: dict[str, Any] = {
            "owners": list(owners),
            "rows": rows,
            "in_a_batch": IN_A_BATCH,
            "with_pixels": rows if with_pixels is None else with_pixels,
            "public": public,
            "failed": failed,
            "flagged": flagged,
            "age": timedelta(days=days),
        }
        cursor.execute(PLAN, parameters)
        cursor.execute(FILL)


@transaction.atomic
def seed(*, rows: int, with_pixels: int, password: str) -> Seeded:
    """People, patches with their answers, batches, reviews, events: a site that looks used for half a year."""
    hashed = make_password(password)
    names = [f"person-{number}" for number in range(1, PEOPLE + 1)]
    people = [User.objects.create(email=f"{name}@example.org", password=hashed) for name in names]
    reviewers = [
        User.objects.create(email=f"reviewer-{number}@example.org", password=hashed)
        for number in range(1, PEOPLE_WHO_REVIEW + 1)
    ]
    group, _ = Group.objects.get_or_create(name=REVIEWERS)
    group.user_set.add(*reviewers)
    staff = User.objects.create(email="staff@example.org", password=hashed, is_staff=True, is_superuser=True)
    fill(owners=[person.pk for person in people], rows=rows, with_pixels=min(with_pixels, rows))
    with connection.cursor() as cursor:
        cursor.execute(BATCHES)
        cursor.execute(DRAW)
        drawings = [
            (number, draw_patch(5000 + number, cellularity=number / (DRAWINGS - 1)).tobytes())
            for number in range(DRAWINGS)
        ]
        execute_values(cursor.cursor, "INSERT INTO drawing VALUES %s", drawings)
        cursor.execute(PIXELS, {"drawings": DRAWINGS})
        cursor.execute(SECOND)
        cursor.execute(MODERATION, {"staff": staff.pk})
        walked = min(1200, with_pixels // 4)
        cursor.execute(REVIEWS, {"reviewers": [reviewer.pk for reviewer in reviewers], "walked": walked})
    # Paused, so that nothing is ever sent there.
    paused = {"is_active": False, "pause_reason": PauseReason.OWNER}
    Webhook.objects.bulk_create([Webhook(owner=one, url="https://example.org/hook", **paused) for one in people[:2]])
    return Seeded(staff=staff, people=[*people, *reviewers], password=password)


def is_empty() -> bool:
    """Whether nobody has sent anything yet, nor has any of the invented people an account."""
    return not Patch.objects.exists() and not User.objects.filter(email="staff@example.org").exists()


def has_model() -> bool:
    return ModelVersion.objects.active() is not None


def settle() -> None:
    """Let the planner know of the new rows. Outside any transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM ANALYZE")
