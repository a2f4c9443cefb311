"""What is in the archive of everything of one user's, and how it is written: from rows to zip, a few hundred at a time.

Nothing in it names anybody else, and no secret is in it: tokens and webhooks appear by name, date and address.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, Prefetch, QuerySet
from django.utils import timezone

from accounts.models import ApiToken, User
from predictions.exports import write_rows
from predictions.models import (
    Barred,
    Batch,
    BatchItem,
    Event,
    Explanation,
    Patch,
    PatchImage,
    Prediction,
    Purpose,
    Usage,
)

AT_ONCE = 500  # rows read
COLUMNS = (
    "patch", "name", "visibility", "sent_at", "prediction", "model", "status", "probability", "label", "threshold",
    "flags", "finished_at", "error", "is_current",
)  # fmt: skip
README = """Everything of {email} on {site}, as it was on {now:%Y-%m-%d %H:%M} UTC.

account.json        the account: addresses, dates, preferences, tokens and their dates (without what opens them)
predictions.json    every patch, with all answers about it, what you said it shows, and what reviewers said (not who)
predictions.csv     the answers as a table, a line each
images/             the pixels of each patch as they are stored, named by the id of the patch
maps/               the maps of what mattered for an answer, named by the id of the answer
batches.json        what was sent together
files.json          what each file that you sent became
webhooks.json       the addresses that are told when a batch is done, and what was sent to them in the last 30 days
reviews.json        what you said as a reviewer of other people's patches
reports.json        what you reported of shared patches
barred.json         digests of patches that were hidden when they were deleted: sent again, they are hidden again
events.json         what you did here

Not in it: answers of models that are being tried out and are shown to nobody, pixels that are forgotten at your wish,
or will be once there is an answer, your password (only a digest of it exists), and sessions.

A model has answered here, for research and teaching. Its answers are no diagnosis.
"""
AnyRow = TypeVar("AnyRow", bound=Model)


class Sink(Protocol):
    """What an archive is written to, from its beginning to its end. note: is told again and again how many patches
    are done, and ends the writing by raising."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def note(self, patches_done: int) -> None: ...


def write_archive(user: User, sink: Sink) -> None:
    """Write the zip of all that is `user`'s."""
    with zipfile.ZipFile(sink, "w") as archive:
        _Writer(user, archive, sink).write()


class _Writer:
    def __init__(self, user: User, archive: zipfile.ZipFile, sink: Sink) -> None:
        self.user, self.archive, self.sink = user, archive, sink
        self.now = timezone.now()
        self.patches = Patch.objects.filter(owner=user)
        self.patches_done = 0

    def write(self) -> None:
        with self._member("README.txt") as text:
            text.write(README.format(email=self.user.email, site=settings.SITE_URL, now=self.now))
        with self._member("account.json") as text:
            json.dump(_account(self.user), text, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
        self._write_json("predictions.json", self._patches())
        with self._member("predictions.csv") as text:
            write_rows(text, self._table())
        self._write_json("batches.json", self._batches())
        self._write_json("files.json", self._files())
        self._write_json("webhooks.json", self._webhooks())
        self._write_json("reviews.json", self._reviews())
        self._write_json("reports.json", self._reports())
        self._write_json("barred.json", self._barred())
        self._write_json("events.json", self._events())
        self._write_pictures()

    @contextmanager
    def _member(self, name: str) -> Iterator[io.TextIOWrapper]:
        """A file of the archive that text is written to, however long it becomes."""
        with (
            self.archive.open(self._info(name), "w", force_zip64=True) as member,
            io.TextIOWrapper(member, "utf-8", newline="") as text,
        ):
            yield text

    def _info(self, name: str, level: int = 6) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, self.now.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = level  # type: ignore[attr-defined]  # `open` takes it from nowhere else
        info.external_attr = 0o644 << 16
        return info

    def _write_json(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """A list, a row a line."""
        with self._member(name) as text:
            text.write("[")
            for number, row in enumerate(rows):
                text.write(",\n" if number else "\n")
                json.dump(row, text, cls=DjangoJSONEncoder, ensure_ascii=False)
            text.write("\n]\n")

    def _steps(self, rows: QuerySet[AnyRow], at_once: int = AT_ONCE) -> Iterator[list[AnyRow]]:
        """All rows by their keys, a few hundred in memory at a time, and no transaction that stays open."""
        last = 0
        while step := list(rows.filter(pk__gt=last).order_by("pk")[:at_once]):
            self.sink.note(self.patches_done)
            yield step
            last = step[-1].pk

    def _patches(self) -> Iterator[dict[str, Any]]:
        from reviews.models import GroundTruth, Review

        for step in self._steps(self._patches_with_answers()):
            truths = {truth.pk: truth for truth in GroundTruth.objects.filter(pk__in=[patch.pk for patch in step])}
            reviews = defaultdict(list)
            for review in Review.objects.filter(patch__in=step).order_by("pk"):
                reviews[review.patch_id].append({"answer": review.answer, "date": review.created_at.date()})
            for patch in step:
                truth = truths.get(patch.pk)
                yield {
                    "id": patch.uuid,
                    **_fields(patch, "original_name", "visibility", "allows_review", "source", "created_at", "sha256",
                              "source_width", "source_height", "um_per_pixel", "quality", "hidden_at", "admitted_at",
                              "is_to_be_forgotten", "pixels_dropped_at"),
                    "predictions": [_prediction(one, patch) for one in patch.predictions.all()],
                    "ground_truth": truth and _fields(truth, "answer", "source", "created_at", "changed_at"),
                    "reviews": reviews[patch.pk],
                }  # fmt: skip

    def _table(self) -> Iterator[Sequence[Any]]:
        yield COLUMNS
        for step in self._steps(self._patches_with_answers()):
            for patch in step:
                for one in patch.predictions.all():
                    yield (
                        patch.uuid, patch.original_name, patch.visibility, patch.created_at.isoformat(),
                        one.uuid, one.model_version.version, one.status,
                        one.probability, one.label, one.threshold, one.flags,
                        one.finished_at and one.finished_at.isoformat(), one.error_code,
                        "yes" if one.pk == patch.current_prediction_id else "no",
                    )  # fmt: skip

    def _patches_with_answers(self) -> QuerySet[Patch]:
        answers = Prediction.objects.exclude(purpose=Purpose.SHADOW).select_related("model_version")
        answers = answers.defer("embedding", "model_version__card").order_by("pk")
        return self.patches.prefetch_related(Prefetch("predictions", answers))

    def _write_pictures(self) -> None:
        """Images and maps as they are served. PNG is compressed already: level 0 only wraps it.

        None of what is to be forgotten: an archive lies there for longer (docs/adr/0011-predict-and-forget.md).
        """
        for step in self._steps(self.patches.only("pk", "uuid", "is_to_be_forgotten", "pixels_dropped_at")):
            pictured = [patch for patch in step if patch.is_pictured]
            images = {image.pk: image for image in PatchImage.objects.filter(patch__in=pictured)}
            maps = defaultdict(list)
            shown = Explanation.objects.filter(prediction__patch__in=pictured, png__isnull=False)
            for key, answer, png in shown.values_list("prediction__patch", "prediction__uuid", "png"):
                maps[key].append((answer, bytes(png or b"")))
            for patch in step:
                if image := images.get(patch.pk):
                    self.archive.writestr(self._info(f"images/{patch.uuid}.png", 0), image.png())
                for answer, png in maps[patch.pk]:
                    self.archive.writestr(self._info(f"maps/{answer}.png", 0), png)
                self.patches_done += 1

    def _batches(self) -> Iterator[dict[str, Any]]:
        for step in self._steps(Batch.objects.filter(owner=self.user)):
            for batch in step:
                yield {"id": batch.uuid, **_fields(batch, "source", "created_at")}

    def _files(self) -> Iterator[dict[str, Any]]:
        for step in self._steps(Batch.objects.filter(owner=self.user), at_once=50):
            names = {batch.pk: batch.uuid for batch in step}
            items = BatchItem.objects.filter(batch__in=step).select_related("patch").order_by("batch", "position")
            for item in items.only("batch", "position", "name", "error_code", "patch__uuid").iterator(AT_ONCE):
                yield {
                    "batch": names[item.batch_id],
                    **_fields(item, "position", "name", "error_code"),
                    "patch": item.patch and item.patch.uuid,
                }

    def _webhooks(self) -> Iterator[dict[str, Any]]:
        from webhooks.models import Delivery

        for webhook in self.user.webhooks.order_by("pk"):
            yield {
                "id": webhook.uuid,
                **_fields(webhook, "url", "is_active", "pause_reason", "created_at", "last_attempt_at", "last_error"),
            }
            for step in self._steps(Delivery.objects.filter(webhook=webhook)):
                for delivery in step:
                    yield {
                        "id": delivery.uuid,
                        "webhook": webhook.uuid,
                        **_fields(delivery, "event", "status", "created_at", "finished_at", "body", "response_status",
                                  "response_text", "error_code"),
                    }  # fmt: skip

    def _reviews(self) -> Iterator[dict[str, Any]]:
        for step in self._steps(self.user.reviews.select_related("patch")):
            for review in step:
                yield {
                    "patch": review.patch.uuid,
                    **_fields(review, "first_answer", "answer", "comment", "created_at", "changed_at"),
                }

    def _reports(self) -> Iterator[dict[str, Any]]:
        for step in self._steps(self.user.reports.select_related("patch")):
            for report in step:
                yield {
                    "patch": report.patch.uuid,
                    **_fields(report, "reason", "comment", "outcome", "created_at", "settled_at"),
                }

    def _barred(self) -> Iterator[dict[str, Any]]:
        for step in self._steps(Barred.objects.filter(owner=self.user)):
            for one in step:
                yield _fields(one, "sha256", "hidden_at")

    def _events(self) -> Iterator[dict[str, Any]]:
        for step in self._steps(Event.objects.filter(actor=self.user)):
            for event in step:
                yield _fields(event, "kind", "subject", "payload", "created_at")


def _account(user: User) -> dict[str, Any]:
    tokens = ApiToken.objects.filter(user=user).order_by("created")
    return {
        **_fields(user, "email", "date_joined", "last_login", "is_staff", "is_reviewer", "last_visibility",
                  "private_patches_days", "patches_per_day"),
        "email_addresses": list(EmailAddress.objects.filter(user=user).values("email", "verified", "primary")),
        "has_second_factor": _has_second_factor(user),
        "tokens": [_fields(token, "name", "scopes", "created", "expiry", "last_used_at", "patches_per_day")
                   for token in tokens],
        "patches_sent": list(Usage.objects.filter(owner=user).order_by("hour").values("hour", "number")),
    }  # fmt: skip


def _has_second_factor(user: User) -> bool:
    factors = getattr(user, "authenticator_set", None)  # of allauth.mfa, where it is installed
    return bool(factors and factors.exists())


def _prediction(prediction: Prediction, patch: Patch) -> dict[str, Any]:
    """An answer with what it was made by and when."""
    model = prediction.model_version
    return {
        "id": prediction.uuid,
        "is_current": prediction.pk == patch.current_prediction_id,
        "model": model.version,
        "model_sha256": model.sha256,
        **_fields(prediction, "purpose", "status", "probability", "label", "threshold", "flags", "attempt",
                  "queued_at", "started_at", "finished_at", "error_code"),
    }  # fmt: skip


def _fields(row: Model, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
