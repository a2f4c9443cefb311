"""Between client and server answers get lost, and others speak in the server's place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from predictions.models import Batch, BatchItem, Prediction
from tests.client.conftest import Idc, table, write_patches
from tests.client.proxy import LosingProxy

pytestmark = pytest.mark.django_db(transaction=True)
CHUNKS, STATE = b" /api/v1/predictions/ ", b" /api/v1/batches/"


def reply(status: str, *headers: str, code: str = "", message: str = "") -> bytes:
    body = json.dumps({"error": {"code": code, "message": message}}) if code else "<h1>No</h1>"
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", body]
    return "\r\n".join(lines).encode()


# What comes instead of an answer, and how long the client must wait at least.
PASSING = [
    (b"", 0.2),
    (b"HTTP/1.1 202 Acc", 0.2),
    (reply("502 Bad Gateway"), 0.2),
    (reply("503 Service Unavailable", "Retry-After: 2", code="unavailable"), 2),
    (reply("429 Too Many Requests", "Retry-After: 2", code="throttled"), 2),
    (reply("409 Conflict", "Retry-After: 1", code="in_progress"), 1),
]


def test_a_chunk_whose_answer_is_lost_is_sent_again_as_the_same_request(idc: Idc, home: Path, tmp_path: Path) -> None:
    """The server has stored the chunk each time, and knows by its key that it was sent before."""
    folder, out = write_patches(tmp_path / "p", 12), tmp_path / "out.csv"
    for number, (instead, pause) in enumerate(PASSING, start=1):
        with LosingProxy(idc.server, lost_path=CHUNKS, lose=2, instead=instead) as proxy:
            done = Idc(home, proxy.address, idc.token).run("predict", folder, "--csv", out, "--concurrency", "1")
        assert done.returncode == 0, (instead, done.stderr)
        times = [begun for begun, _ in proxy.posts()]
        first, second, third, *others = (request for _, request in proxy.posts())
        assert first == second == third, instead  # to the last byte
        assert min(times[1] - times[0], times[2] - times[1]) >= pause, instead
        keys = [re.findall(rb"Idempotency-Key: ([!-~]{1,200})\r\n", request) for request in (first, *others)]
        assert [len(found) for found in keys] == [1, 1, 1]
        assert len({found[0] for found in keys}) == 3
        assert [line["path"] for line in table(out)] == [f"{seed:03d}.png" for seed in range(12)]
        assert (Prediction.objects.count(), BatchItem.objects.count(), Batch.objects.count()) == (
            12,
            12 * number,
            number,
        )


def test_a_chunk_of_which_a_dead_client_never_heard_is_sent_again_as_the_same_request(
    idc: Idc, home: Path, tmp_path: Path
) -> None:
    command = ("predict", write_patches(tmp_path / "p", 7), "--csv", tmp_path / "out.csv", "--concurrency", "1")
    with LosingProxy(idc.server, lost_path=CHUNKS, lose=1) as proxy:
        through = Idc(home, proxy.address, idc.token)
        assert through.run(*command, "--tries", "1").returncode == 3
        assert through.run(*command).returncode == 0
    (_, lost), (_, again), (_, other) = proxy.posts()
    assert lost == again != other
    assert len(table(tmp_path / "out.csv")) == BatchItem.objects.count() == 7


def test_looks_at_the_progress_may_fail_too(idc: Idc, home: Path, tmp_path: Path) -> None:
    folder, out = write_patches(tmp_path / "p", 6), tmp_path / "out.csv"
    with LosingProxy(idc.server, lost_path=STATE, lose=3) as proxy:
        done = Idc(home, proxy.address, idc.token).run("predict", folder, "--csv", out, "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    assert len(table(out)) == 6


LASTING = [
    (b"", "broke off the connection (2 tries)."),
    (
        reply("500 Internal Server Error", code="server_error", message="\x1b[31mWe know."),
        "answers 500:  [31mWe know (2 tries).",
    ),
    (
        reply("503 Service Unavailable", "Retry-After: 7200", code="unavailable", message="Closed."),
        "answers 503: Closed. It asks to wait for 120 min.",
    ),
    (
        reply("301 Moved", "Location: https://evil.example.org/"),
        "sends elsewhere, to https://evil.example.org/. Give that server's address.",
    ),
    (reply("202 Accepted"), "answers with something else than JSON. Is it an IDC Finder?"),
    (reply("202 Accepted", code="x"), "answers in a form that this program does not know."),
    (reply("413 Content Too Large"), "answers 413"),
]


def test_what_does_not_get_better_ends_with_3_and_a_sentence(idc: Idc, home: Path, tmp_path: Path) -> None:
    folder = write_patches(tmp_path / "p", 1)
    for number, (instead, words) in enumerate(LASTING):
        out = tmp_path / f"{number}.csv"
        with LosingProxy(idc.server, lost_path=CHUNKS, lose=99, instead=instead) as proxy:
            done = Idc(home, proxy.address, idc.token).run("predict", folder, "--csv", out, "--tries", "2", "--quiet")
        assert (done.returncode, done.stderr.splitlines()) == (
            3,
            [f"idc: {proxy.address} {words}", f"The same command goes on from here; {out}.progress keeps the place."],
        )
        assert not out.exists()
