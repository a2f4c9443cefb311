"""Every end of `idc` that is not the good one has its exit code and its sentence, and never shows a token."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from accounts.models import Scope, User
from idc_finder_client import NotAllowed, WrongUse
from idc_finder_client.credentials import checked_server, checked_token
from idc_site.local_services import reserved_port
from predictions.models import BatchItem, ModelVersion
from tests.client.conftest import Idc, chunks_noted, table, write_patches
from tests.factories import make_token
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def kept(home: Path) -> Path:
    return home / "idc-finder" / "credentials.json"


def log_in(idc: Idc, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return Idc(idc.home).run("login", "--server", idc.server, *arguments, stdin=f"{token}\n")


def test_login_keeps_server_and_token_for_this_user_alone(idc: Idc, home: Path, tmp_path: Path) -> None:
    done = log_in(idc, idc.token)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(
        f"owner@example.org on {idc.server}, patches left today: 20,000. Kept in {kept(home)}."
    )
    assert idc.token not in done.stdout + done.stderr
    assert done.stderr == ""
    assert stat.S_IMODE(kept(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(home).parent.stat().st_mode) == 0o700
    done = Idc(home).run("predict", write_patches(tmp_path / "p", 2), "--csv", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert len(table(tmp_path / "out.csv")) == 2


def test_login_keeps_nothing_that_would_not_work(idc: Idc, home: Path, owner: User) -> None:
    reader = make_token(owner, Scope.READ)
    for token, words in ((reader, "The token lacks the scope predict. Nothing was kept."),
                         ("idc_wrong", f"{idc.server} does not allow this"),
                         ("idc_\u00e9", "holds characters that no token has")):  # fmt: skip
        done = log_in(idc, token)
        assert done.returncode == 4
        assert words in done.stderr
        assert token not in done.stdout + done.stderr
    assert not kept(home).exists()


def test_a_kept_token_goes_to_no_other_server(idc: Idc, home: Path, tmp_path: Path) -> None:
    log_in(idc, idc.token)
    write_patches(tmp_path / "p", 1)
    done = Idc(home, server="https://other.example.org").run("predict", tmp_path / "p", "--csv", tmp_path / "o.csv")
    assert (done.returncode, done.stderr) == (
        4, "idc: No token for https://other.example.org is known. Run `idc login`, or set IDC_TOKEN.\n"
    )  # fmt: skip


def test_the_environment_wins_over_what_was_kept(idc: Idc, home: Path, tmp_path: Path) -> None:
    log_in(idc, idc.token)
    done = Idc(home, token="idc_wrong").run("predict", write_patches(tmp_path / "p", 1), "--csv", tmp_path / "o.csv")
    assert done.returncode == 4


def test_nobody_who_is_not_logged_in_is_told_how(home: Path, tmp_path: Path) -> None:
    done = Idc(home).run("predict", write_patches(tmp_path / "p", 1), "--csv", tmp_path / "o.csv")
    assert (done.returncode, done.stderr) == (
        2, "idc: No server is known. Run `idc login`, or set IDC_SERVER and IDC_TOKEN.\n"
    )  # fmt: skip


@pytest.mark.parametrize("scopes", [[], [Scope.READ]])
def test_a_wrong_or_weak_token_ends_with_4(
    scopes: list[Scope], idc: Idc, home: Path, owner: User, tmp_path: Path
) -> None:
    token = make_token(owner, *scopes) if scopes else "idc_0123456789"
    done = Idc(home, idc.server, token).run("predict", write_patches(tmp_path / "p", 2), "--csv", tmp_path / "out.csv")
    assert done.returncode == 4
    assert f"idc: {idc.server} does not allow this: " in done.stderr
    assert token not in done.stdout + done.stderr
    assert not (tmp_path / "out.csv.progress").exists()
    if scopes:
        assert "This needs a token with the scope “predict”. The one that was sent has: read." in done.stderr


def test_a_run_that_is_refused_as_it_is_does_not_stand_in_the_way_of_the_right_one(idc: Idc, tmp_path: Path) -> None:
    folder, out = write_patches(tmp_path / "p", 6), tmp_path / "out.csv"
    done = idc.run("predict", folder, "--csv", out, "--forget", "--visibility", "public")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        f"idc: {idc.server} does not understand this: What is to be forgotten is private. "
        "Send it without “visibility”, or to be kept.",
    )
    assert idc.run("predict", folder, "--csv", out).returncode == 0
    assert [line["status"] for line in table(out)] == ["succeeded"] * 6


def test_a_server_that_is_away_ends_with_3_after_the_stated_tries(home: Path, tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{reserved_port()}"
    done = Idc(home, away, "idc_x").run(
        "predict", write_patches(tmp_path / "p", 1), "--csv", tmp_path / "out.csv", "--tries", "2"
    )
    assert (done.returncode, done.stderr) == (
        3, f"idc: {away} cannot be reached: [Errno 111] Connection refused (2 tries).\n"
    )  # fmt: skip


def test_a_used_up_quota_ends_with_5_and_the_run_goes_on_when_there_is_more(
    processes: Processes, model_version: ModelVersion, owner: User, home: Path, tmp_path: Path
) -> None:
    processes.start("worker")
    folder, out, journal = write_patches(tmp_path / "p", 30), tmp_path / "out.csv", tmp_path / "out.csv.progress"
    port = str(reserved_port())
    environment = {"PORT": port, "IMAGES_PER_REQUEST": "5"}
    idc = Idc(home, f"http://127.0.0.1:{port}", make_token(owner))
    web = processes.start("web", PATCHES_PER_DAY="20", **environment)
    wait_for(lambda: processes.answers(f"{idc.server}/healthz"))
    done = idc.run("predict", folder, "--csv", out)
    assert done.returncode == 5
    assert done.stderr.splitlines()[-2:] == [
        "idc: This is more than you may still have analysed within 24 hours. Send fewer patches, or go on later.",
        f"The same command goes on from here; {journal} keeps the place.",
    ]
    assert (chunks_noted(journal), BatchItem.objects.count(), out.exists()) == (4, 20, False)
    processes.kill(web)
    processes.start("web", **environment)
    wait_for(lambda: processes.answers(f"{idc.server}/healthz"))
    assert idc.run("predict", folder, "--csv", out).returncode == 0
    assert [line["status"] for line in table(out)] == ["succeeded"] * 30
    assert BatchItem.objects.count() == 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], "There is no missing."),
        (["empty"], "There is no image in empty (.png, .jpg, .jpeg, .tif, .tiff)."),
        (["text.zip"], "text.zip is no zip that can be read."),
        (["empty", "text.zip"], "empty is a folder. Give one folder, one zip, or files."),
    ],
)
def test_what_cannot_be_sent_ends_with_2(home: Path, arguments: list[str], words: str) -> None:
    (home / "empty").mkdir()
    (home / "text.zip").write_text("no zip")
    done = Idc(home, "http://127.0.0.1:9", "idc_x").run("predict", *arguments, "--csv", "out.csv", "--tries", "1")
    assert (done.returncode, done.stderr) == (2, f"idc: {words}\n")


def test_a_table_in_a_folder_that_is_not_there_ends_with_2_before_anything_is_sent(home: Path, tmp_path: Path) -> None:
    folder, out = write_patches(tmp_path / "p", 1), tmp_path / "none" / "out.csv"
    done = Idc(home, "http://127.0.0.1:9", "idc_x").run("predict", folder, "--csv", out)
    assert (done.returncode, done.stderr) == (2, f"idc: There is no folder {out.parent} to write out.csv into.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png", "--csv", "a.png"], "a.png is an image, a zip or an input, no table."),
        (["b.png", "--csv", "a.png"], "a.png is an image, a zip or an input, no table."),
        (["p.zip", "--csv", "p.zip"], "p.zip is an image, a zip or an input, no table."),
        (["odd", "--csv", "odd"], "odd is an image, a zip or an input, no table."),
        (["a.png", "--csv", "results"], "results is a folder."),
        (["pipe.png", "--csv", "out.csv"], "pipe.png is no file that can be read."),
    ],
)
def test_no_table_takes_the_place_of_an_image_or_a_folder(home: Path, arguments: list[str], words: str) -> None:
    for name in ("a.png", "b.png", "p.zip", "odd"):
        (home / name).write_text("as it was")
    (home / "results").mkdir()
    os.mkfifo(home / "pipe.png")
    done = Idc(home, "http://127.0.0.1:9", "idc_x").run("predict", *arguments)
    assert (done.returncode, done.stderr.startswith(f"idc: {words}")) == (2, True), done.stderr
    assert {(home / name).read_text() for name in ("a.png", "b.png", "p.zip", "odd")} == {"as it was"}


def test_options_that_make_no_sense_end_with_2(home: Path) -> None:
    for options in (["--visibility", "secret"], ["--um-per-pixel", "0"], ["--concurrency", "0"], ["--model", "x"], []):
        done = Idc(home).run("predict", "p", *options, *(["--csv", "out.csv"] if options else []))
        assert done.returncode == 2, options


def test_the_help_says_what_exit_codes_mean(home: Path) -> None:
    done = Idc(home).run("predict", "--help")
    assert [line.split()[0] for line in done.stdout.partition("Exit codes:\n")[2].splitlines()[:7]] == [
        "0", "1", "2", "3", "4", "5", "130"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["http://idc.example.org", "http://127.0.0.1.example.org", "http://10.0.0.1", "http://localhost.example.org",
     "ftp://idc.example.org", "idc.example.org", "https://", "https://me@idc.example.org", "https://x/?a=b", "\x00"],
)  # fmt: skip
def test_a_token_is_not_sent_to_such_an_address(address: str) -> None:
    with pytest.raises(WrongUse):
        checked_server(address, insecure=False)


@pytest.mark.parametrize(
    "address", ["https://idc.example.org", "http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000"]
)
def test_encrypted_and_local_addresses_are_taken(address: str) -> None:
    assert checked_server(f" {address}/ ", insecure=False) == address


def test_plain_http_to_another_machine_must_be_asked_for() -> None:
    assert checked_server("http://idc.example.org", insecure=True) == "http://idc.example.org"


@pytest.mark.parametrize("token", ["", " ", "idc_\n1", "idc 1", "idc_\u00e9"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_unseen(token: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        checked_token(token)
    assert str(refused.value) == "The token is empty or holds characters that no token has. Copy it anew."
