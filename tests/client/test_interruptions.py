"""Whatever breaks in mid-run, the same command goes on: nothing is sent twice, no line is lost or doubled."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from accounts.models import User
from idc_finder_client import Client, ServerFailed
from idc_finder_client.journal import Journal, Limits, Plan, Refusal
from idc_site.local_services import reserved_port
from predictions.models import Batch, BatchItem, ModelVersion, Prediction
from tests.client.conftest import Idc, chunks_noted, table, write_patches
from tests.factories import make_token
from tests.processes import PATIENCE, Processes, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
PATCHES = 400  # so many that nobody is done before the signal comes
SLOWLY = ("--concurrency", "2")


def assert_whole(out: Path, number: int = PATCHES) -> None:
    """One line and one prediction an image, in order, and no journal left."""
    lines = table(out)
    assert [line["path"] for line in lines] == [f"{seed:03d}.png" for seed in range(number)]
    assert {line["status"] for line in lines} == {"succeeded"}
    names = dict(Prediction.objects.values_list("uuid", "patch__original_name"))
    assert {line["path"]: line["id"] for line in lines} == {name: str(known) for known, name in names.items()}
    assert Prediction.objects.count() == number
    assert (Batch.objects.count(), BatchItem.objects.count()) == (1, number)
    assert not list(out.parent.glob(f"{out.name}.*"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on_where_it_was(how: signal.Signals, idc: Idc, tmp_path: Path) -> None:
    folder, out, journal = write_patches(tmp_path / "p", PATCHES), tmp_path / "out.csv", tmp_path / "out.csv.progress"
    command = ("predict", folder, "--csv", out, *SLOWLY)
    with idc.started(*command) as process:
        wait_for(lambda: chunks_noted(journal) >= 3, every=0.005)
        process.send_signal(how)
        _, errors = process.communicate(timeout=PATIENCE)
    noted = chunks_noted(journal)
    assert 3 <= noted < PATCHES / 5
    assert not out.exists()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert errors.splitlines()[-2:] == [
            "idc: Interrupted.",
            f"The same command goes on from here; {journal} keeps the place.",
        ]
        assert BatchItem.objects.count() == noted * 5  # what was under way was waited for, and noted
    assert idc.run(*command).returncode == 0
    assert_whole(out)


def test_a_complete_journal_needs_no_image_sent_again(idc: Idc, tmp_path: Path, processes: Processes) -> None:
    """Killed between the last chunk and the table."""
    folder, out, journal = write_patches(tmp_path / "p", 10), tmp_path / "out.csv", tmp_path / "out.csv.progress"
    with Client(idc.server, idc.token) as client:
        client.predict(folder, journal=journal)
    before = (tmp_path / "web.log").read_text().count("POST ")
    with journal.open("a") as file:
        file.write('{"chunk": 7, "bat')  # cut off in mid-word, as by a full disk or a power cut
    done = idc.run("predict", folder, "--csv", out)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "web.log").read_text().count("POST ") == before
    assert_whole(out, 10)


def test_a_line_that_was_cut_off_spoils_none_that_comes_after_it(tmp_path: Path) -> None:
    path, plan, limits = tmp_path / "journal", Plan("https://x", "0", {}), Limits(5, 1000, 100)
    refusal = Refusal(3, "too_large", "Large.")
    Journal(path, plan, limits).note(0, batch="b", refused=[])
    with path.open("a") as file:
        file.write('{"chunk": 1, "bat')
    Journal(path, plan, limits).note(2, batch=None, refused=[refusal])
    read = Journal(path, plan, Limits(9, 9, 9))
    assert (read.chunks, read.batch, read.refused, read.limits) == ({0, 2}, "b", {3: refusal}, limits)


def test_a_web_server_killed_and_restarted_in_mid_run_costs_only_time(
    processes: Processes, model_version: ModelVersion, owner: User, home: Path, tmp_path: Path
) -> None:
    port = str(reserved_port())
    address = f"http://127.0.0.1:{port}"
    environment = {"PORT": port, "SITE_URL": address, "WEB_CONCURRENCY": "1", "IMAGES_PER_REQUEST": "5"}
    processes.start("worker")
    web = processes.start("web", **environment)
    wait_for(lambda: processes.answers(f"{address}/healthz"))
    folder, out = write_patches(tmp_path / "p", PATCHES), tmp_path / "out.csv"
    with Idc(home, address, make_token(owner)).started("predict", folder, "--csv", out, *SLOWLY) as process:
        wait_for(lambda: chunks_noted(tmp_path / "out.csv.progress") >= 3)
        processes.kill(web)
        assert chunks_noted(tmp_path / "out.csv.progress") < PATCHES / 5
        processes.start("web", **environment)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert_whole(out)


def test_a_server_without_a_worker_is_not_waited_for_for_ever(
    processes: Processes, model_version: ModelVersion, owner: User, tmp_path: Path
) -> None:
    address, journal = processes.start_web(), tmp_path / "journal"
    folder = write_patches(tmp_path / "p", 3)
    with Client(address, make_token(owner)) as client:
        with pytest.raises(ServerFailed, match="has taken all images but given no new answer for 1 seconds: 0 of 3"):
            client.predict(folder, journal=journal, patience=1)
        processes.start("worker")
        assert len(client.predict(folder, journal=journal)) == 3
    assert Batch.objects.get().items.count() == 3


def test_a_journal_of_another_run_is_refused_and_left_as_it_is(idc: Idc, home: Path, tmp_path: Path) -> None:
    folder, journal = write_patches(tmp_path / "p", 6), tmp_path / "out.csv.progress"
    with Client(idc.server, idc.token) as client:
        client.predict(folder, journal=journal)
    noted = journal.read_bytes()
    elsewhere = Idc(home, idc.server.replace("127.0.0.1", "localhost"), idc.token)

    def assert_refused(by: Idc, words: str, *options: str) -> None:
        before = journal.read_bytes()
        done = by.run("predict", folder, "--csv", tmp_path / "out.csv", *options)
        assert (done.returncode, done.stderr.startswith(f"idc: {journal} is {words}")) == (2, True), done.stderr
        assert journal.read_bytes() == before
        assert not (tmp_path / "out.csv").exists()

    assert_refused(idc, "the journal of an unfinished run with other options.", "--visibility", "public")
    assert_refused(elsewhere, "the journal of an unfinished run with another server.")
    journal.write_text("a text of somebody's, without an end of line")
    assert_refused(idc, "no journal of `idc predict`.")
    journal.write_bytes(noted)
    (folder / "000.png").write_bytes((folder / "001.png").read_bytes())
    assert_refused(idc, "the journal of an unfinished run with other images.")


def test_a_run_whose_batch_is_gone_says_so(idc: Idc, tmp_path: Path, stranger: User) -> None:
    folder, journal = write_patches(tmp_path / "p", 6), tmp_path / "out.csv.progress"
    with Client(idc.server, make_token(stranger)) as client:
        client.predict(folder, journal=journal)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:2]) + "\n")  # one chunk of two
    batch = json.loads(lines[1])["batch"]
    done = idc.run("predict", folder, "--csv", tmp_path / "out.csv")
    assert (done.returncode, done.stderr) == (
        2, f"idc: {idc.server} knows no batch {batch} of yours: this run cannot go on.\n"
    )  # fmt: skip
