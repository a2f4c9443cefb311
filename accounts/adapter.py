"""How django-allauth behaves here."""

from base64 import urlsafe_b64encode
from functools import cache

import qrcode
from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from qrcode.image.svg import SvgPathImage

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


class MFAAdapter(DefaultMFAAdapter):
    """Second factors: what makes their codes is encrypted, so that the database alone lets nobody in."""

    def encrypt(self, text: str) -> str:
        return _cipher(settings.SECRET_KEY).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher(settings.SECRET_KEY).decrypt(encrypted_text.encode()).decode()

    def build_totp_svg(self, url: str) -> str:
        """Markup to stand in the page: the policy for images allows no data: address."""
        image = qrcode.make(url, image_factory=SvgPathImage, border=2)
        return str(image.to_string(encoding="unicode"))


@cache
def _cipher(secret_key: str) -> Fernet:
    digest = salted_hmac("accounts.MFAAdapter", "", secret=secret_key, algorithm="sha256").digest()
    return Fernet(urlsafe_b64encode(digest))
