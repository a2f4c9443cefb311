"""Reports over the API."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Scope
from idc_site.api_fields import Body, TextField
from idc_site.api_schema import example, operation
from predictions.api.access import user_of
from predictions.models import Patch, Prediction
from reviews import services
from reviews.exceptions import NotReportable, TooManyReports
from reviews.models import Report, ReportReason
from reviews.models.report import REPORT_LENGTH

SENT = {"reason": "personal_data", "comment": "A name at the lower edge."}
REPORT = {"id": f"{'f' * 8}-0000-4000-8000-000000000000", **SENT, "created_at": "2026-11-24T12:00:00Z"}


class ReportCreateSerializer(Body):
    """POST of a report."""

    reason = serializers.ChoiceField(choices=ReportReason.choices)
    comment = TextField(max_length=REPORT_LENGTH, allow_blank=True, default="")


class ReportSerializer(serializers.ModelSerializer[Report]):
    """What was reported. Staff see it, and nobody else."""

    id = serializers.UUIDField(source="uuid")

    class Meta:
        model = Report
        fields = ("id", "reason", "comment", "created_at")


class ReportList(APIView):
    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "report_patch",
        "Report a shared patch",
        request={"application/json": ReportCreateSerializer},
        answers={201: ReportSerializer},
        examples=[OpenApiExample("report", value=SENT, request_only=True), example(REPORT, 201)],
        errors=[NotReportable, TooManyReports],
    )
    def post(self, request: Request, prediction_id: UUID) -> Response:
        """Of somebody else. Staff look at it; personal data is hidden until they have. Twice is once."""
        fields = ReportCreateSerializer(data=request.data)
        user = user_of(request)
        found = Prediction.objects.visible_to(user).filter(uuid=prediction_id)
        prediction = found.filter(patch__in=Patch.objects.reportable_by(user)).select_related("patch").first()
        if not prediction:
            raise NotFound(_("What others share can be reported, nothing else.")) if found.exists() else Http404
        fields.is_valid(raise_exception=True)
        said = {"reason": ReportReason(fields.validated_data["reason"]), "comment": fields.validated_data["comment"]}
        made = services.report(patch=prediction.patch, reporter=user, **said)
        return Response(ReportSerializer(made).data, status=201)
