"""The command `idc`."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from idc_finder_client.client import Client
from idc_finder_client.credentials import Credentials, checked_server, checked_token, load, store
from idc_finder_client.display import shown
from idc_finder_client.errors import IdcError, Interrupted, NotAllowed, ServerFailed, WrongUse
from idc_finder_client.images import SUFFIXES
from idc_finder_client.results import Results
from idc_finder_client.transport import TRIES

OUR_FAULT = 70  # of sysexits.h
SCOPES_NEEDED = ("read", "predict")
# \b keeps the lines of a paragraph apart.
EXIT_CODES = """\
\b
Exit codes:
  0    every image is answered
  1    some were refused or failed: the CSV says which and why
  2    wrong use: options, input, a journal of another run
  3    the server cannot be reached or fails, after all tries
  4    not allowed: token missing, unknown, expired or without the scope
  5    no more patches today
  130  interrupted

After 3, 4, 5 and 130 the same command goes on where it was."""

app = typer.Typer(
    help="Ask an IDC Finder site about patches of breast tissue. For research and teaching, never a diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # a traceback must not show local variables
)
console = Console(stderr=True, highlight=False, soft_wrap=True)


class Visibility(StrEnum):
    PRIVATE = "private"
    PUBLIC = "public"


def main() -> None:
    try:
        app(prog_name="idc")
    except Exception:  # so that scripts can tell a fault of ours from exit code 1
        traceback.print_exc()
        sys.exit(OUR_FAULT)


@app.callback()
def _idc() -> None:
    """With a callback, commands keep their names."""


@app.command()
def login(
    server: Annotated[str, typer.Option(help="Address, such as https://idc.example.org. Asked for if not given.")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow plain http to another machine.")] = False,
) -> None:
    """Check a server and a token, and keep them for `idc predict`.

    The token is asked for, never an option: options end up in the history of the shell. Make one on the page
    "API tokens" of your account, with the scopes read and predict. The environment's IDC_SERVER and IDC_TOKEN win
    over what is kept.
    """
    with _reported():
        if not server:
            stored = load()
            offered = os.environ.get("IDC_SERVER") or (stored.server if stored else None)
            server = typer.prompt("Server", default=offered)
        server = checked_server(server, insecure=insecure)
        # Out of a pipe it is read as it is: there is no echo, and nothing to warn of.
        token = checked_token(typer.prompt("Token (not shown)", hide_input=sys.stdin.isatty()))
        with Client(server, token, insecure=insecure, tries=2) as client:
            me = client.me()
        path = _keep(Credentials(server, token, insecure), me)
        typer.echo(f"{me['email']} on {server}, patches left today: {me['left_today']:,}. Kept in {path}.")
        if os.environ.get("IDC_TOKEN"):
            console.print("IDC_TOKEN is set and wins over what was kept.")


def _keep(credentials: Credentials, me: dict[str, Any]) -> Path:
    """Raises IdcError if the token does not suffice or cannot be kept."""
    if not {"email", "left_today", "token"} <= me.keys() or not isinstance(me["token"], dict):
        raise ServerFailed(f"{credentials.server} answers in a form that this program does not know.")
    if missing := [scope for scope in SCOPES_NEEDED if scope not in me["token"].get("scopes", [])]:
        raise NotAllowed(f"The token lacks the scope {' and '.join(missing)}. Nothing was kept.")
    return store(credentials)


@app.command(epilog=EXIT_CODES)
def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="FOLDER|ZIP|FILES", help="One folder, one zip, or files.")],
    csv: Annotated[Path, typer.Option(help="The table to write, when all is answered.")],
    visibility: Annotated[Visibility, typer.Option(help="Who may see the patches.")] = Visibility.PRIVATE,
    um_per_pixel: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Micrometres a pixel, if you know.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Let the site drop the pixels once it has answered.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Requests under way at once.")] = 4,
    tries: Annotated[int, typer.Option(min=1, max=100, help="How often a request is tried.")] = TRIES,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")] = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow plain http to another machine.")] = False,
) -> None:
    """Send images and write the answers to a CSV, one line an image, in the order of their paths.

    A folder is searched for .png, .jpg, .jpeg, .tif and .tiff at any depth. While it runs, FILE.csv.progress says how
    far it is; after an interruption the same command goes on from there and sends nothing twice.
    """
    journal = csv.with_name(f"{csv.name}.progress")
    started = time.monotonic()
    with _reported(journal):
        _check_table(csv, inputs)
        with Client(insecure=insecure, tries=tries) as client, shown(console, is_quiet=quiet) as report:
            results = client.predict(
                *inputs,
                visibility=visibility.value,
                um_per_pixel=um_per_pixel,
                forget=forget,
                concurrency=concurrency,
                journal=journal,
                report=report,
            )
        results.write_csv(csv)
        journal.unlink(missing_ok=True)
    if not quiet:
        typer.echo(_summary(results, csv, seconds=time.monotonic() - started))
    if not results.are_all_answered:
        raise typer.Exit(1)


def _check_table(csv: Path, inputs: list[Path]) -> None:
    """Before anything is sent. Raises WrongUse unless `csv` can be written, and is no image that it would replace."""
    if not csv.absolute().parent.is_dir():
        raise WrongUse(f"There is no folder {csv.parent} to write {csv.name} into.")
    if csv.is_dir():
        raise WrongUse(f"{csv} is a folder. Give --csv the name of the table, such as {csv / 'answers.csv'}.")
    # `--csv *.png` is the first of them to a shell.
    if csv.suffix.lower() in (*SUFFIXES, ".zip") or csv.resolve() in [one.resolve() for one in inputs]:
        raise WrongUse(f"{csv} is an image, a zip or an input, no table. Give --csv a name such as answers.csv.")


def _summary(results: Results, csv: Path, *, seconds: float) -> str:
    counts = Counter(result.status for result in results)
    others = "".join(f", {number:,} {status}" for status, number in sorted(counts.items()) if status != "succeeded")
    rate = f"{len(results) / seconds:,.0f} a second" if seconds else ""
    where = f"\n{results.batch_url}" if results.batch_url else ""
    return f"{counts['succeeded']:,} of {len(results):,} answered{others} in {seconds:.0f} s, {rate}: {csv}{where}"


@contextmanager
def _reported(journal: Path | None = None) -> Iterator[None]:
    """Errors end the command with their sentence and exit code."""
    try:
        yield
    except (IdcError, KeyboardInterrupt) as error:
        failure = error if isinstance(error, IdcError) else Interrupted("Interrupted.")
        console.print(f"idc: {failure}", markup=False)
        if journal and journal.exists() and failure.exit_code != 2:
            console.print(f"The same command goes on from here; {journal} keeps the place.", markup=False)
        raise typer.Exit(failure.exit_code) from None
