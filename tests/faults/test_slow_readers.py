"""Readers who take a file slowly or not at all, on a real server: they are let go, and stand in nobody's way."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db.models import OuterRef, Subquery
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.exports import CHUNK_BYTES
from accounts.models import Export, ExportChunk, User
from predictions.models import Batch, ModelVersion, Patch, Prediction, Purpose, Source, Status, Visibility
from tests.factories import make_token, submit_drawn
from tests.processes import PATIENCE, Processes, wait_for

GALLERY = "/gallery/export.csv"
SECONDS = 8  # EXPORT_SECONDS
LET_GO = 25  # seconds within which that must be; a single piece may take STALLED_SECONDS, which is more
ROWS = 4000


@pytest.fixture
def site(processes: Processes, owner: User, model_version: ModelVersion) -> str:
    """A site with a gallery that no socket holds whole."""
    now = timezone.now()
    patches = Patch.objects.bulk_create(
        Patch(owner=owner, sha256=f"{number:064x}", source_width=50, source_height=50, original_name="a.png",
              visibility=Visibility.PUBLIC, source=Source.WEB)
        for number in range(ROWS)
    )  # fmt: skip
    Prediction.objects.bulk_create(
        Prediction(patch=patch, model_version=model_version, purpose=Purpose.UPLOAD, status=Status.SUCCEEDED,
                   probability=0.75, threshold=0.5, started_at=now, finished_at=now)
        for patch in patches
    )  # fmt: skip
    answer = Prediction.objects.filter(patch=OuterRef("pk"))
    Patch.objects.update(current_prediction=Subquery(answer.values("pk")))
    return processes.start_web(EXPORT_SECONDS=str(SECONDS))


def asked(site: str, source: str, path: str = GALLERY, **headers: str) -> socket.socket:
    """A connection from this address that has asked for a file, over which little fits at a time."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.bind((source, 0))
    server = urlsplit(site)
    connection.connect((server.hostname, server.port))
    lines = [f"GET {path} HTTP/1.1", f"Host: {server.netloc}", *(f"{name}: {text}" for name, text in headers.items())]
    connection.sendall("\r\n".join([*lines, "\r\n"]).encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def answer_to(site: str, path: str, source: str = "127.0.0.1", **headers: str) -> tuple[int, bytes]:
    server = urlsplit(site)
    connection = http.client.HTTPConnection(
        str(server.hostname), server.port, timeout=PATIENCE, source_address=(source, 0)
    )
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_strangers_who_take_nothing_stop_nobody_signed_in_and_are_let_go(site: str, owner: User) -> None:
    submit_drawn(owner, 1)
    path, token = f"/api/v1/batches/{Batch.objects.get().uuid}/predictions.csv", f"Bearer {make_token(owner)}"
    with ExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.3"):
            stack.enter_context(asked(site, source))
        assert answer_to(site, GALLERY)[0] == 302
        for _ in range(3):
            assert answer_to(site, path, Authorization=token)[0] == 200
        wait_for(lambda: answer_to(site, GALLERY)[0] == 200, seconds=LET_GO, what="a place is free again")
    status, body = answer_to(site, GALLERY)
    assert (status, body.count(b"\r\n")) == (200, ROWS + 1)


def test_who_takes_a_file_in_drops_does_not_get_it_whole(site: str) -> None:
    began = time.monotonic()
    taken: list[Any] = []
    with asked(site, "127.0.0.2") as connection:
        while time.monotonic() < began + SECONDS + 2:
            taken.append(connection.recv(64))
            time.sleep(0.02)
        while piece := connection.recv(4096):
            taken.append(piece)
    assert time.monotonic() < began + LET_GO
    assert not b"".join(taken).endswith(b"0\r\n\r\n")  # how a whole one ends


def test_who_takes_nothing_of_an_archive_is_let_go_and_has_a_place_again(
    processes: Processes, owner: User, client: Client
) -> None:
    pieces = 8
    export = Export.objects.create(
        owner=owner, status=Status.SUCCEEDED, finished_at=timezone.now(), size=pieces * CHUNK_BYTES
    )
    for position in range(pieces):
        ExportChunk.objects.create(export=export, position=position, data=bytes(CHUNK_BYTES))
    client.force_login(owner)
    site = processes.start_web(EXPORT_SECONDS=str(SECONDS))
    path, cookie = reverse("data:download", args=[export.uuid]), f"sessionid={client.cookies['sessionid'].value}"

    def whole() -> bytes:
        """Not asked for twice: who has all the bytes that were announced may be faster than the place is free."""
        status, body = answer_to(site, path, Cookie=cookie)
        return body if status == 200 else b""

    with asked(site, "127.0.0.2", path, Cookie=cookie):
        assert answer_to(site, path, Cookie=cookie)[0] == 302
        body = wait_for(whole, seconds=LET_GO, what="a place is free")
    assert len(body) == export.size
