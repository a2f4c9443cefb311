"""manage.py rerun --model VERSION (--all | --since DATE)"""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from predictions import services
from predictions.models import ModelVersion


def day(text: str) -> datetime:
    """Midnight, UTC, of an ISO date, or a moment of it."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Asks a registered version about earlier patches in the background, for their owners to see."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", required=True, metavar="VERSION")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--all", action="store_true", help="all patches")
        which.add_argument("--since", type=day, metavar="DATE", help="those sent since then, as in 2026-11-24")

    def handle(self, *args: Any, model: str, since: datetime | None, **options: Any) -> None:
        try:
            run = services.start_rerun(model_version=ModelVersion.objects.get(version=model), since=since)
        except ModelVersion.DoesNotExist as error:
            raise CommandError(f"No version {model} is registered.") from error
        self.stdout.write(f"Run {run} is under way; the chores process moves it on. See /models/{model}/trial/.")
