"""What follows from what allauth does."""

from __future__ import annotations

from typing import Any

from allauth.mfa.signals import authenticator_added
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from accounts.people import end_sessions


@receiver(authenticator_added)
def sign_out_elsewhere(request: HttpRequest, user: User, **kwargs: Any) -> None:
    """A session that was opened with the password alone must not profit from a factor that it never showed."""
    end_sessions(user, except_key=request.session.session_key)
