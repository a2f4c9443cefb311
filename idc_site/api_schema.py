"""How the API's schema is written: `operation` describes a method of a view, `Schema` adds what the view itself tells.

The tag comes from the address, the description from the docstring, the scope from the view's `scopes`, and the
refusals that any such operation can give (no token, unknown id, too many requests, ...) from its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS, AllowAny

from accounts.models import Scope
from idc_site.errors import error_body
from predictions.exceptions import ServiceError

View = TypeVar("View", bound=Callable[..., Any])
MEDIA_TYPE = "application/json"


class CodedErrorSerializer(serializers.Serializer[Any]):
    """What went wrong: `code` for programs, `message` for people."""

    code = serializers.CharField(help_text="Stable: programs may rely on it.")
    message = serializers.CharField(help_text="A sentence for people; its words may change.")


class FieldErrorSerializer(CodedErrorSerializer):
    """What went wrong, and with which field if it was one."""

    field = serializers.CharField(required=False, help_text="The field or query parameter that is wrong.")


class ErrorSerializer(serializers.Serializer[Any]):
    """The one form of an error under /api/."""

    error = FieldErrorSerializer()


class Refusal(NamedTuple):
    """An answer that operations of many kinds can give."""

    name: str
    description: str
    example: dict[str, dict[str, str]]
    headers: tuple[str, ...] = ()


HEADERS: dict[str, dict[str, Any]] = {
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit-Policy": {
        "description": "What is allowed in a minute, as in the IETF's draft of these headers.",
        "schema": {"type": "string", "example": '"reads";q=3000;w=60'},
    },
    "RateLimit": {
        "description": "How much of that is left, and for how many seconds.",
        "schema": {"type": "string", "example": '"reads";r=2997;t=41'},
    },
    "WWW-Authenticate": {"description": "Always `Bearer`.", "required": True, "schema": {"type": "string"}},
}
RATES = ("RateLimit-Policy", "RateLimit")  # of every answer that is counted
REFUSALS = {
    400: Refusal(
        "Invalid",
        "The body, a field or a query parameter is not of the form described here.",
        error_body("invalid", "Enter a number.", field="min_probability"),
    ),
    401: Refusal(
        "NotAuthenticated",
        "No token, or one that is wrong, expired or revoked.",
        error_body("not_authenticated", "Send a token as “Authorization: Bearer idc_…”."),
        ("WWW-Authenticate",),
    ),
    403: Refusal(
        "PermissionDenied",
        "The token lacks the scope; or a browser's session came without the CSRF token.",
        error_body(
            "permission_denied", "This needs a token with the scope “predict”. The one that was sent has: read."
        ),
    ),
    404: Refusal(
        "NotFound",
        "Unknown, another's or deleted: one and the same.",
        error_body("not_found", "There is nothing of this id for you here: it is unknown, deleted or another's."),
    ),
    411: Refusal(
        "LengthRequired",
        "The body comes in chunks, without a `Content-Length`.",
        error_body("length_required", "Say in Content-Length how long the body is: what comes in chunks is not read."),
    ),
    413: Refusal(
        "TooLarge",
        "The request is larger than this site takes.",
        error_body("too_large", "At most 50 MB can be sent at once. Send fewer images."),
    ),
    415: Refusal(
        "UnsupportedMediaType",
        "The body is of another content type than those described here.",
        error_body(
            "unsupported_media_type", "Send the body as one of these, and say so in Content-Type: application/json."
        ),
    ),
    429: Refusal(
        "TooMany",
        "Too many requests, or too many wrong tokens from this address.",
        error_body("throttled", "Too many wrong tokens from this address."),
        ("Retry-After", *RATES),
    ),
    503: Refusal(
        "Unavailable",
        "The database does not answer. Nothing was stored; the same request may be sent again.",
        error_body("unavailable", "The database does not answer. Nothing of what you sent was stored."),
        ("Retry-After",),
    ),
}


class Schema(AutoSchema):
    """REST_FRAMEWORK's DEFAULT_SCHEMA_CLASS."""

    def get_operation(self, *args: Any, **options: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **options)
        if operation is None:
            return None
        responses: dict[str, Any] = operation["responses"]
        for status in self._possible_refusals(operation):
            responses.setdefault(str(status), self._refusal(status))
        for status, links in operation.pop("x-links", {}).items():
            responses[status] |= {"links": links}
        for code, response in responses.items():
            if response.get("description") == "":
                response["description"] = operation.get("summary", "")
            if int(code) < 400:
                response["headers"] = {name: HEADERS[name] for name in RATES} | response.get("headers", {})
            if "$ref" not in response and (common := REFUSALS.get(int(code))):
                response["headers"] = _headers(common) | response.get("headers", {})
        if not self._is_open():
            operation["x-scope"] = str(self._scope())
        return operation | {"responses": dict(sorted(responses.items()))}

    def get_auth(self) -> list[dict[str, Any]]:
        """What is open says so, instead of naming a token as one of two ways; what is open in part names both."""
        found: list[dict[str, Any]] = super().get_auth()
        if any(getattr(permission, "opens_what_is_shared", False) for permission in self.view.get_permissions()):
            return [*found, {}]
        return [{}] if self._is_open() else found

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular has it
        text: str = " ".join(super().get_description().split())
        return text if self._is_open() else f"{text}\n\nScope of the token: `{self._scope()}`."

    def _is_open(self) -> bool:
        return any(isinstance(permission, AllowAny) for permission in self.view.get_permissions())

    def _scope(self) -> Scope:
        named: dict[str, Scope] = getattr(self.view, "scopes", {})
        return named.get(self.method, Scope.READ) if self.method in SAFE_METHODS else named[self.method]

    def _possible_refusals(self, operation: dict[str, Any]) -> Iterable[int]:
        """401 even where no token is needed: a wrong one is told."""
        parameters = {parameter["in"] for parameter in operation.get("parameters", ())}
        has_body = "requestBody" in operation
        yield from (401, 429, 503)
        if not self._is_open():
            yield 403
        if "path" in parameters:
            yield 404
        if "query" in parameters or has_body:
            yield 400
        if has_body:
            yield from (411, 413, 415)

    def _refusal(self, status: int) -> dict[str, str]:
        refusal = REFUSALS[status]
        error = self.resolve_serializer(ErrorSerializer, "response")
        component = ResolvedComponent(
            name=refusal.name,
            type=ResolvedComponent.RESPONSE,
            object=refusal.name,
            schema={
                "description": refusal.description,
                "headers": _headers(refusal),
                "content": {MEDIA_TYPE: {"schema": error.ref, "example": refusal.example}},
            },
        )
        self.registry.register_on_missing(component)
        reference: dict[str, str] = component.ref
        return reference


def _headers(refusal: Refusal) -> dict[str, dict[str, Any]]:
    return {name: HEADERS[name] for name in refusal.headers}


class TokenScheme(OpenApiAuthenticationExtension):
    """The scheme that programs use. The browser's session works too, and is no business of a generated client."""

    target_class = "accounts.authentication.ApiTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "idc_ and 64 hexadecimal digits",
            "description": (
                "`Authorization: Bearer idc_...`. Made on the page “API tokens” of the account. Scopes: `read` (lists, "
                "details, images, batches, `me`), `predict` (create, retry, ask another model), `manage` (share, take "
                "back, delete, report, state ground truth, review, make and change webhooks)."
            ),
        }


class ClosedBody(OpenApiSerializerExtension):
    """What a body does not know, it refuses."""

    target_class = "idc_site.api_fields.Body"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        found: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return found | {"additionalProperties": False}


def operation(
    name: str,
    summary: str,
    *,
    answers: Mapping[int | tuple[int, str], Any],
    examples: Iterable[OpenApiExample] = (),
    errors: Iterable[type[ServiceError]] = (),
    parameters: Iterable[OpenApiParameter] = (),
    links: Mapping[str, dict[str, Any]] | None = None,
    request: Any = None,
) -> Callable[[View], View]:
    """Describes a method of an API view, whose docstring goes on as the description.

    name: what generated clients call it. answers: successes by status. errors: what services refuse, whose classes
    have code, message and status. parameters: of the request, and `header(...)`s of answers. links: by status.
    """
    by_status: dict[int, list[type[ServiceError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    refused = {status: refusal(status, *classes) for status, classes in by_status.items()}
    return extend_schema(
        operation_id=name,
        summary=summary,
        request=request,
        responses=dict(answers) | refused,
        examples=list(examples),
        parameters=list(parameters),
        extensions={"x-links": dict(links)} if links else None,
    )


def refusal(status: int, *classes: type[ServiceError]) -> OpenApiResponse:
    """The refusals of one status, each with its code and sentence; the common one of that status among them."""
    examples = [coded_example(error.code, str(error.message), status) for error in classes]
    common = REFUSALS.get(status)
    if common and common.example["error"]["code"] not in {error.code for error in classes}:
        examples.append(example(common.example, status, name=common.name))
    codes = " ".join(f"`{error.code}`" for error in classes)
    return OpenApiResponse(ErrorSerializer, description=codes, examples=examples)


def coded_example(code: str, message: str, status: int) -> OpenApiExample:
    return example(error_body(code, message), status, name=code)


def links_to(name: str, **parameters: str) -> dict[str, Any]:
    """A link of OpenAPI: the operation that can be called next, with parameters taken from this answer."""
    return {name: {"operationId": name, "parameters": parameters}}


def header(
    name: str, description: str, *statuses: int, kind: type = str, is_always_there: bool = False
) -> OpenApiParameter:
    """A header of answers with these statuses."""
    return OpenApiParameter(
        name,
        kind,
        OpenApiParameter.HEADER,
        description=description,
        required=is_always_there,
        response=list(statuses),
    )


def example(value: Any, *statuses: int, name: str = "Answer", media_type: str = MEDIA_TYPE) -> OpenApiExample:
    """An answer of these statuses, whole."""
    return OpenApiExample(
        name, value=value, response_only=True, status_codes=[str(status) for status in statuses], media_type=media_type
    )
