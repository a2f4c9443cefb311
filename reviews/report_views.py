"""The form that tells staff of a shared patch."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import User
from predictions.exceptions import ServiceError
from predictions.models import Patch, Prediction
from reviews import services
from reviews.forms import ReportForm
from reviews.models import ReportReason


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def report(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    user = cast(User, request.user)
    visible = Prediction.objects.visible_to(user).filter(patch__in=Patch.objects.reportable_by(user))
    prediction = get_object_or_404(visible.with_patch_and_model(), uuid=prediction_id)
    form = ReportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = {"reason": ReportReason(form.cleaned_data["reason"]), "comment": form.cleaned_data["comment"]}
        try:
            made = services.report(patch=prediction.patch, reporter=user, **said)
        except ServiceError as error:
            messages.error(request, str(error))
            return redirect("gallery")
        if made.has_hidden:
            messages.success(request, _("Thank you. Nobody is shown this patch until staff have looked at it."))
        else:
            messages.success(request, _("Thank you. Staff will look at this patch."))
        return redirect("gallery")
    context = {"prediction": prediction, "form": form}
    return render(request, "reviews/report.html", context, status=400 if request.method == "POST" else 200)
