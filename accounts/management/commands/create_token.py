"""manage.py create_token EMAIL NAME [--scopes read predict manage]: prints a token, once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import ApiToken, Scope, User


class Command(BaseCommand):
    help = "Creates an API token and prints it. It cannot be shown again: only a digest is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("name", help="what the token is for")
        parser.add_argument("--scopes", nargs="+", choices=Scope.values, default=[Scope.READ, Scope.PREDICT])

    def handle(self, *args: Any, email: str, name: str, scopes: list[str], **options: Any) -> None:
        try:
            user = User.objects.get(email__iexact=email)
        except User.DoesNotExist as error:
            raise CommandError(f"Nobody is registered as {email}. Sign up first.") from error
        if len(name) > 80:
            raise CommandError("The name of a token has at most 80 characters.")
        _, token = ApiToken.objects.create(user, name=name, scopes=scopes)
        self.stdout.write(token)
