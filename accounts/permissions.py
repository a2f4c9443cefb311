"""What a request may do: a session may do all that its user may, a token what its scopes open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.models import ApiToken, Scope

if TYPE_CHECKING:  # REST framework imports this module while it makes its views
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """Signed in, and with the scope that the view names for the method.

    A view has `scopes`, by method; a safe method that it does not name needs `read`.
    """

    message: str | None = None  # of one request: each has a permission of its own

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        is_known = hasattr(view, (request.method or "").lower())  # else the view itself answers 405
        if not isinstance(request.auth, ApiToken) or not is_known:
            return True
        named: dict[str, Scope] = getattr(view, "scopes", {})
        needed = named.get(request.method or "", Scope.READ if request.method in SAFE_METHODS else None)
        self.message = _("This needs a token with the scope “%(needed)s”. The one that was sent has: %(scopes)s.") % {
            "needed": needed,
            "scopes": ", ".join(request.auth.scopes),
        }
        return needed in request.auth.scopes
