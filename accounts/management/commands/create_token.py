"""manage.py create_token EMAIL NAME [--scopes read predict manage]: prints a token, once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Scope, User
from accounts.tokens import DEFAULT_DAYS, create_token
from predictions.exceptions import ServiceError


class Command(BaseCommand):
    help = "Creates an API token and prints it. It cannot be shown again: only a digest is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("name", help="what the token is for")
        parser.add_argument("--scopes", nargs="+", choices=Scope.values, default=[Scope.READ, Scope.PREDICT])

        parser.add_argument("--days", type=int, choices=range(1, 367), default=DEFAULT_DAYS, metavar="1..366")

    def handle(self, *args: Any, email: str, name: str, scopes: list[str], days: int, **options: Any) -> None:
        try:
            user = User.objects.get(email__iexact=email)
        except User.DoesNotExist as error:
            raise CommandError(f"Nobody is registered as {email}. Sign up first.") from error
        if len(name) > 80:
            raise CommandError("The name of a token has at most 80 characters.")
        try:
            _, token = create_token(user=user, name=name, scopes=scopes, days=days)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(token)
