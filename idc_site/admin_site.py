"""The door of the admin: who comes in, and what they meet first."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class AdminSite(admin.AdminSite):
    site_header = site_title = "IDC Finder"
    index_title = gettext_lazy("Administration")
    enable_nav_sidebar = False  # lists need its room

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated and request.user.sees_all

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Takes no password: allauth's login does, with its limits and second factors."""
        answer: HttpResponse = secure_admin_login(self._enter)(request)
        return answer

    def _enter(self, request: HttpRequest) -> HttpResponse:
        """For active staff who are signed in."""
        if self.has_permission(request):
            return redirect("admin:index")
        messages.warning(request, _("Staff need a second step at sign-in. Set one up here; then the admin opens."))
        return redirect("mfa_index")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from predictions.admin.dashboard import dashboard  # its filters are made of models

        return super().index(request, {**dashboard(), **(extra_context or {})})

    def password_change(  # type: ignore[override]  # the stub knows one kind of answer
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account_change_password")
