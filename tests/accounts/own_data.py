"""An account that has left a row wherever one can be left, for tests of export and erasure."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client

from accounts import exports
from accounts.models import Export, User
from predictions import services as patches
from predictions.models import Barred, Explanation, Patch, Source, Visibility
from reviews import services as reviews
from reviews.models import Answer, ReportReason
from tests.factories import answer, drawn, make_reviewer, make_token, received, submit_drawn
from webhooks import services as webhooks

PASSWORD = "korrekt-pferd-9"
EMAIL = "ada@example.org"
NAME = "=secret-file-name.png"


def full_account() -> User:
    """Ada: a reviewer and member of staff with patches, answers, tokens, webhooks, reviews, and a session."""
    ada = make_reviewer(EMAIL)
    ada.set_password(PASSWORD)
    ada.is_staff = True
    ada.save()
    ada.user_permissions.add(Permission.objects.first())  # type: ignore[arg-type]  # there are some
    make_token(ada)
    EmailAddress.objects.create(user=ada, email=EMAIL, primary=True, verified=True)
    Authenticator.objects.create(user=ada, type=Authenticator.Type.TOTP, data={"secret": "x"})
    UserSession.objects.create(user=ada, ip="192.0.2.1", session_key="x", user_agent="a browser of hers")
    Client().force_login(ada)
    _patches_of(ada)
    _what_she_did_to_others(ada)
    hook = webhooks.create_webhook(owner=ada, url="https://93.184.216.34/hook")
    webhooks.send_test(webhook=hook, actor=ada)
    LogEntry.objects.create(
        user=ada,
        content_type=ContentType.objects.get_for_model(Patch),
        object_id="1",
        object_repr="x",
        action_flag=CHANGE,
    )
    exports.ask_for_export(user=ada)
    assert exports.write_next()
    return ada


def _patches_of(ada: User) -> None:
    files = [replace(received(1)[0], name=NAME), *received(2)]
    submission = patches.submit(
        owner=ada, files=files, visibility=Visibility.PUBLIC, source=Source.WEB, idempotency_key="once"
    )
    submit_drawn(ada, 3)
    first = submission.accepted[0]
    assert first.current_prediction
    answer(first.current_prediction)
    reviews.state_truth(patch=first, owner=ada, answer=Answer.POSITIVE, source="the report of Mrs Smith")
    patches.explain(prediction=first.current_prediction, actor=ada)
    Explanation.objects.update(status="succeeded", png=b"PNG", finished_at=first.created_at)
    Barred.objects.create(owner=ada, sha256=drawn(4).sha256, hidden_at=first.created_at)
    other = make_reviewer("other-reviewer@example.org")
    reviews.review_patch(patch=first, reviewer=other, answer=Answer.NEGATIVE, comment="I doubt it")


def _what_she_did_to_others(ada: User) -> None:
    owner = User.objects.create_user("owner-of-others@example.org")
    rows = [answer(row).patch for row in submit_drawn(owner, *range(10, 16), visibility=Visibility.PUBLIC)]
    reviews.review_patch(patch=rows[0], reviewer=ada, answer=Answer.POSITIVE, comment=f"ask me: {EMAIL}")
    reviews.skip_draw(draw=reviews.next_draws(reviewer=ada)[0], reviewer=ada)
    reviews.next_draws(reviewer=ada)
    reviews.report(patch=rows[1], reporter=ada, reason=ReportReason.OTHER, comment=f"I am {EMAIL}")
    somebody = User.objects.create_user("reports-others@example.org")
    settled = reviews.report(patch=rows[2], reporter=somebody, reason=ReportReason.OTHER)
    reviews.dismiss_report(report=settled, actor=ada)
    patches.start_rerun_of(patches=Patch.objects.filter(owner=owner), actor=ada)
    patches.hide(patch=rows[4], actor=ada)
    patches.admit(patch=rows[5], actor=ada)


def opened(export: Export) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(exports.pieces(export))))


def read(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(name))


def tables_that_hold(text: str) -> set[str]:
    """The tables with a row in which `text` stands, in a text, in JSON, or as bytes."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            cursor.execute(
                f"SELECT count(*) FROM {name} AS one WHERE strpos(one::text, %s) > 0 OR strpos(one::text, %s) > 0",
                [text, text.encode().hex()],
            )
            if cursor.fetchone()[0]:
                found.add(table)
    return found
