"""manage.py reset_mfa EMAIL: the way back for someone who lost their second factor and the recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import people
from accounts.models import User


class Command(BaseCommand):
    help = "Removes somebody's second factors and recovery codes and ends their sessions. They set up new ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        try:
            user = User.objects.get(email__iexact=email)
        except User.DoesNotExist as error:
            raise CommandError(f"Nobody is registered as {email}.") from error
        removed = people.reset_mfa(user=user)
        self.stdout.write(f"{user} has no second factor now ({removed} removed) and is signed out everywhere.")
