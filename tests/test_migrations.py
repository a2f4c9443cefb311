"""Migrations that change what is stored, on a database of their own that holds what an older site stored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg2
import pytest
from psycopg2.extensions import cursor as cursor_type

from tests import pictures
from tests.processes import BASE_DIR, database_url

OWNER = """
INSERT INTO accounts_user (password, is_superuser, email, is_staff, is_active, date_joined, last_visibility)
VALUES ('', false, 'a@example.org', false, true, now(), '') RETURNING id
"""


@pytest.fixture
def old_database(db: None) -> Iterator[str]:
    """The address of an empty database."""
    server, _, _ = database_url().rpartition("/")
    name = f"old_{uuid4().hex}"
    with_server(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with_server(f"DROP DATABASE {name} WITH (FORCE)")


def with_server(statement: str) -> None:
    server = psycopg2.connect(database_url())
    server.autocommit = True  # databases are made and dropped outside transactions
    with server.cursor() as cursor:
        cursor.execute(statement)
    server.close()


def only(cursor: cursor_type) -> Any:
    """The one value of the one row."""
    ((value,),) = cursor.fetchall()
    return value


def migrate(database: str, *target: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "-v", "0", *target]
    done = subprocess.run(command, cwd=BASE_DIR, env=os.environ | {"DATABASE_URL": database}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_stored_pngs_become_pixels_and_what_was_sent_today_counts_on(old_database: str) -> None:
    migrate(old_database, "accounts")
    migrate(old_database, "predictions", "0002")
    pngs = [pictures.png(seed=seed) for seed in (1, 2)]
    connection = psycopg2.connect(old_database)
    with connection, connection.cursor() as cursor:
        cursor.execute(OWNER)
        owner = only(cursor)
        cursor.execute("INSERT INTO predictions_batch (uuid, owner_id, source) VALUES (%s, %s, 'web') RETURNING id",
                       [str(uuid4()), owner])  # fmt: skip
        batch = only(cursor)
        for place, png in enumerate(pngs):
            cursor.execute(
                "INSERT INTO predictions_patch (uuid, owner_id, sha256, source_width, source_height, original_name,"
                " visibility, quality, source) VALUES (%s, %s, %s, 50, 50, '', 'private', '{}', 'web') RETURNING id",
                [str(uuid4()), owner, str(place)],
            )
            patch = only(cursor)
            cursor.execute("INSERT INTO predictions_patchimage (patch_id, png) VALUES (%s, %s)", [patch, png])
            cursor.execute(
                "INSERT INTO predictions_batchitem (batch_id, position, name, patch_id, error_code, error_message)"
                " VALUES (%s, %s, '', %s, '', '')",
                [batch, place, patch],
            )
    migrate(old_database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pixels FROM predictions_patchimage ORDER BY patch_id")
        stored = [bytes(pixels) for (pixels,) in cursor.fetchall()]
        cursor.execute("SELECT owner_id, token, number FROM predictions_usage")
        used = cursor.fetchall()
    connection.close()
    assert stored == [np.asarray(pictures.picture(seed=seed)).tobytes() for seed in (1, 2)]
    assert used == [(owner, None, 2)]


def test_answers_and_reviews_that_are_there_come_to_stand_beside_their_patches(old_database: str) -> None:
    migrate(old_database, "reviews", "0002")
    migrate(old_database, "predictions", "0008")
    connection = psycopg2.connect(old_database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM auth_group")
        assert only(cursor) == "reviewers"  # whom to invite to review, from the first day
        cursor.execute(OWNER)
        owner = only(cursor)
        cursor.execute(
            "INSERT INTO predictions_modelversion (version, sha256, card, is_active) VALUES ('m-1', %s, %s, true)"
            " RETURNING id",
            ["0" * 64, '{"threshold": 0.5}'],
        )
        model = only(cursor)
        for probability, flags, said in ((0.75, "{}", "pp"), (0.25, "{blurred}", "pn"), (None, "{}", "")):
            cursor.execute(
                "INSERT INTO predictions_patch (uuid, owner_id, sha256, source_width, source_height, original_name,"
                " visibility, quality, source) VALUES (%s, %s, %s, 50, 50, '', 'private', '{}', 'web') RETURNING id",
                [str(uuid4()), owner, str(probability)],
            )
            patch = only(cursor)
            cursor.execute(
                "INSERT INTO predictions_prediction (uuid, patch_id, model_version_id, purpose, priority, status,"
                " attempt, attempt_limit, probability, threshold, flags, finished_at, error_code, error_message)"
                " VALUES (%s, %s, %s, 'upload', 0, %s, 1, 3, %s, 0.5, %s, now(), '', '') RETURNING id",
                [str(uuid4()), patch, model, "succeeded" if probability else "queued", probability, flags],
            )
            cursor.execute("UPDATE predictions_patch SET current_prediction_id = %s WHERE id = %s",
                           [only(cursor), patch])  # fmt: skip
            for answer in said:
                cursor.execute(
                    "INSERT INTO reviews_draw (uuid, patch_id, reason, is_random, outcome, closed_at) VALUES"
                    " (%s, %s, 'chosen', false, 'answered', now()) RETURNING id",
                    [str(uuid4()), patch],
                )
                answer = {"p": "positive", "n": "negative"}[answer]
                cursor.execute(
                    "INSERT INTO reviews_review (uuid, patch_id, draw_id, first_answer, answer, comment)"
                    " VALUES (%s, %s, %s, %s, %s, '')",
                    [str(uuid4()), patch, only(cursor), answer, answer],
                )
    migrate(old_database)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT probability, is_positive, is_flagged, doubt, reviewers_say FROM predictions_patch ORDER BY id"
        )
        beside = cursor.fetchall()
    connection.close()
    assert beside == [(0.75, True, False, 0.25, "positive"), (0.25, False, True, 0.25, "split"), (*[None] * 4, "")]
