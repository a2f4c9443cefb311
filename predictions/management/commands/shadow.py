"""manage.py shadow VERSION [--recent N]"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from predictions import services
from predictions.exceptions import ServiceError
from predictions.models import ModelVersion
from predictions.services.runs import MOST_RECENT, RECENT


class Command(BaseCommand):
    help = "Lets a registered version answer silently, on all judged patches and the newest ones, for a trial."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("version")
        parser.add_argument(
            "--recent",
            type=int,
            choices=range(MOST_RECENT + 1),
            default=RECENT,
            metavar="N",
            help=f"0 to {MOST_RECENT}",
        )

    def handle(self, *args: Any, version: str, recent: int, **options: Any) -> None:
        try:
            run = services.start_shadow(model_version=ModelVersion.objects.get(version=version), recent=recent)
        except ModelVersion.DoesNotExist as error:
            raise CommandError(f"No version {version} is registered.") from error
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Run {run} is under way; the chores process moves it on. See /models/{version}/trial/.")
