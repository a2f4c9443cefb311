"""manage.py erase_user EMAIL: erases an account for somebody who asked for it by mail."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.erasure import erase
from accounts.models import User
from predictions.exceptions import ServiceError
from predictions.models import Patch


class Command(BaseCommand):
    help = "Erases an account with everything of it, for good. The chores process removes the rows."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, email: str, yes: bool, **options: Any) -> None:
        try:
            user = User.objects.get(email__iexact=email)
        except User.DoesNotExist as error:
            raise CommandError(f"Nobody is registered as {email}.") from error
        patches = Patch.objects.filter(owner=user).count()
        if not yes and input(f"Erase {email} for good, with all patches ({patches})? Type the address: ") != email:
            raise CommandError("Nothing was erased.")
        try:
            erase(user=user, by="operator")
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The account is closed and its address free. Patches that are being removed: {patches}.")
