"""The progress of a run for people: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from idc_finder_client.run import Progress

LINE_EVERY = 5.0  # seconds


class RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} a second" if task.speed else "")


@contextmanager
def shown(console: Console, *, is_quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """What a run reports to."""
    if is_quiet:
        yield lambda progress: None
    elif not console.is_terminal:
        yield _lines(console)
    else:
        columns = (
            TextColumn("sent {task.fields[sent]:,}, answered {task.completed:,.0f} of {task.total:,}"),
            BarColumn(),
            RateColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=console) as bar:
            yield _bar(bar)


def _bar(bar: Bar) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if not bar.tasks:  # begun with what earlier runs did, so that the rate is this one's
            bar.add_task("", total=progress.total, completed=progress.answered, sent=progress.sent)
        bar.update(bar.tasks[0].id, completed=progress.answered, sent=progress.sent)

    return report


def _lines(console: Console) -> Callable[[Progress], None]:
    last = -LINE_EVERY

    def report(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            console.print(f"sent {progress.sent:,}, answered {progress.answered:,} of {progress.total:,}", markup=False)

    return report
