"""How django-allauth behaves here."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": _("This e-mail address and password do not belong together."),
    }

    def send_mail(self, template_prefix: str, email: str, context: dict[str, object]) -> None:
        """Sends nothing where no mail is configured; the pages say so instead of promising a mail."""
        if settings.MAIL_IS_CONFIGURED:
            super().send_mail(template_prefix, email, context)

    def save_user(self, request: object, user: User, form: object, commit: bool = True) -> User:
        user.email = user.email.lower()
        saved: User = super().save_user(request, user, form, commit)
        return saved
