"""manage.py seed [--rows N] [--with-pixels N]: a development database that looks used, in seconds."""

import secrets
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from predictions.services import seed
from reviews.services import count_weeks

PIXELS = 20_000


class Command(BaseCommand):
    help = "Fills an empty development database with invented people, drawn patches, answers and reviews."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rows", type=int, default=100_000, help="patches, each with a prediction")
        parser.add_argument(
            "--with-pixels",
            type=int,
            help="of these the newest, which get drawn pixels (8 KB each; 20,000 unless said)",
        )

    def handle(self, *args: Any, rows: int, with_pixels: int | None, **options: Any) -> None:
        if not settings.IS_LOCAL:
            raise CommandError("Only a site on this machine (SITE_URL=http://127.0.0.1:...) is filled with inventions.")
        with_pixels = min(rows, PIXELS) if with_pixels is None else with_pixels
        if not 0 < rows <= 5_000_000 or not 0 <= with_pixels <= rows:
            raise CommandError("--rows is from 1 to 5,000,000, and --with-pixels at most as many.")
        if not seed.has_model():
            raise CommandError("No model is active: run manage.py setup first.")
        if not seed.is_empty():
            raise CommandError("This site is not empty, and stays as it is. Inventions go into an empty database only.")
        started = time.monotonic()
        made = seed.seed(rows=rows, with_pixels=with_pixels, password=secrets.token_urlsafe(9))
        seed.settle()
        count_weeks()
        self.stdout.write(
            f"{rows:,} patches with predictions, {with_pixels:,} of them with drawn pixels, in"
            f" {time.monotonic() - started:.0f} s. Everything in them is invented.\n"
            f"Sign in as {made.staff.email} (staff), {made.people[0].email} or {made.people[-1].email} (reviewer);"
            f" the password of all: {made.password}"
        )
