"""manage.py setup: everything a database needs before the site starts. Doing it again changes nothing."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from ml.card import CARD_FILE, ModelError, default_version
from predictions import services
from predictions.models import ModelVersion


class Command(BaseCommand):
    help = "Migrates, makes the cache table, registers the models and activates the default one if none is active."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        call_command("createcachetable", verbosity=0)
        try:
            for card in sorted(settings.MODELS_DIR.glob(f"*/{CARD_FILE}")):
                services.register_model(folder=card.parent)
            model_version = services.register_model(folder=settings.MODELS_DIR / default_version(settings.MODELS_DIR))
        except ModelError as error:
            raise CommandError(str(error)) from error
        if ModelVersion.objects.active() is None:
            services.activate(model_version=model_version)
        self.stdout.write(f"Ready; the active model is {ModelVersion.objects.active()}.")
