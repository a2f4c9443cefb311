"""manage.py register_model ml/models/<version> [--activate]"""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ml.card import ModelError
from predictions import services


class Command(BaseCommand):
    help = "Makes a model version known to the site; with --activate it answers new patches from now on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--activate", action="store_true")

    def handle(self, *args: Any, folder: Path, activate: bool, **options: Any) -> None:
        try:
            model_version = services.register_model(folder=folder)
        except ModelError as error:
            raise CommandError(str(error)) from error
        if activate:
            services.activate(model_version=model_version)
        self.stdout.write(f"{model_version} is registered{' and active' if activate else ''}.")
