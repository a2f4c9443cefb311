"""The schema is valid, whole, and what docs/openapi.yaml says. How to describe a new view: docs/testing.md."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from idc_site import api_urls
from idc_site.api_docs import document
from idc_site.settings import BASE_DIR, SPECTACULAR_SETTINGS

SUCCESS = ("200", "201", "202", "204")
METHODS = ("get", "post", "put", "patch", "delete")
TAGS: Any = SPECTACULAR_SETTINGS["TAGS"]
COMMITTED = (BASE_DIR / "docs/openapi.yaml").read_text()
SCHEMA: dict[str, Any] = yaml.safe_load(document(OpenApiYamlRenderer))
OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}


def test_it_is_valid_without_a_warning_and_the_file_is_what_the_views_say() -> None:
    written = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=written)
    assert written.getvalue().strip() == COMMITTED.strip(), "Run `make schema`, and commit docs/openapi.yaml."


def test_nothing_of_the_machine_it_was_written_on_is_in_it() -> None:
    assert SCHEMA["servers"] == [{"url": "/", "description": "this site"}]
    assert not {"127.0.0.1", "localhost", "testserver", str(BASE_DIR)} & set(COMMITTED.replace("/", " ").split())


def templates(patterns: list[Any], prefix: str = "/api/v1/") -> Iterator[tuple[str, set[str]]]:
    """Each address as OpenAPI writes it, with the methods of its view."""
    for pattern in patterns:
        address = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from templates(pattern.url_patterns, address)
        else:
            view = vars(pattern.callback)["view_class"]
            for name, converter in pattern.pattern.converters.items():
                kind = type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")
                address = address.replace(f"<{kind}:{name}>", f"{{{name}}}")
            yield address, {method for method in METHODS if hasattr(view, method)}


def test_every_address_and_method_is_in_it() -> None:
    found = {path: set(methods) for path, methods in SCHEMA["paths"].items()}
    assert found == dict(templates(api_urls.urlpatterns)), (
        "A view of the API is not described: put @operation(...) of idc_site/api_schema.py on each of its methods "
        "(see docs/testing.md), then run `make schema`."
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_does_what_it_gives_and_how_it_refuses(name: str) -> None:
    path, method, operation = OPERATIONS[name]
    missing = []
    if not operation.get("summary"):
        missing.append("a summary: the second argument of @operation")
    if len(operation.get("description", "")) < 20:
        missing.append("a description: the docstring of the method")
    if operation.get("tags", []) not in [[tag["name"]] for tag in TAGS]:
        missing.append("a tag: the first part of its address, listed in SPECTACULAR_SETTINGS['TAGS']")
    if operation.get("security") not in ([{"token": []}], [{"token": []}, {}], [{}]):
        missing.append("security: a token, one where it is not shared, or AllowAny and so none")
    successes = [operation["responses"][status] for status in SUCCESS if status in operation["responses"]]
    if not successes:
        missing.append("a success: answers={200: ...}")
    if any(not body.get("examples") for one in successes for body in one.get("content", {}).values()):
        missing.append("an example of each success with a body: examples=[example(..., status)]")
    refusals = {"401", "429", "503"} | ({"403"} if operation.get("security") != [{}] else set())
    refusals |= {"404"} if "{" in path else set()
    refusals |= {"400", "411", "413", "415"} if "requestBody" in operation else set()
    if refusals - set(operation["responses"]):
        missing.append(f"the refusals {sorted(refusals - set(operation['responses']))}")
    assert missing == [], f"{method.upper()} {path} lacks " + "; ".join(missing) + ". See docs/testing.md."


def test_pictures_alone_say_that_what_is_shared_needs_no_token() -> None:
    found = {name for name, (_, _, one) in OPERATIONS.items() if one["security"] == [{"token": []}, {}]}
    assert found == {"get_image", "get_heatmap"}


@pytest.mark.parametrize("name", [name for name, (_, _, one) in OPERATIONS.items() if "x-scope" in one])
def test_every_operation_names_the_scope_that_opens_it(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    assert operation["x-scope"] in ("read", "predict", "manage")
    assert f"Scope of the token: `{operation['x-scope']}`." in operation["description"]


def test_every_body_takes_the_fields_it_names_and_no_other() -> None:
    """A serializer of a body is a `Body` of idc_site/api_fields.py, which refuses what it does not know."""
    bodies = [
        operation["requestBody"]["content"] for _, _, operation in OPERATIONS.values() if "requestBody" in operation
    ]
    names = {kind["schema"]["$ref"].rsplit("/", 1)[1] for content in bodies for kind in content.values()}
    assert "CreateRequest" in names
    schemas = SCHEMA["components"]["schemas"]
    assert {name for name in names if schemas[name].get("additionalProperties") is not False} == set()


def test_every_error_has_the_one_form() -> None:
    forms = {"#/components/schemas/Error", "#/components/schemas/NoneAccepted"}
    shared = SCHEMA["components"]["responses"]
    for _, _, operation in OPERATIONS.values():
        for status, response in operation["responses"].items():
            found = shared[response["$ref"].rsplit("/", 1)[1]] if "$ref" in response else response
            if status >= "400":
                assert found["content"]["application/json"]["schema"]["$ref"] in forms


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/vnd.oai.openapi"),
        ("application/yaml", "application/vnd.oai.openapi"),
        ("application/json", "application/vnd.oai.openapi+json"),
    ],
)
def test_it_is_served_as_yaml_or_json_to_anyone(accept: str, content_type: str) -> None:
    response = Client().get(reverse("api-schema"), headers={"Accept": accept, "Authorization": "Bearer wrong"})
    assert (response.status_code, response["Content-Type"]) == (200, content_type)
    assert response["Vary"].startswith("Accept")
    served = yaml.safe_load(response.content)
    validate_schema(served)  # type: ignore[no-untyped-call]  # its types are not published
    assert served == SCHEMA


def test_its_page_has_no_inline_script_and_one_relaxation_of_the_policy() -> None:
    page = Client().get(reverse("api-docs"))
    policy = dict(part.strip().split(" ", 1) for part in page["Content-Security-Policy"].split(";"))
    assert (policy["script-src"], policy["style-src"], policy["img-src"]) == ("'self'", "'self'", "'self' blob: data:")
    assert b"<style" not in page.content
    assert page.content.count(b"<script") == page.content.count(b' src="/')
    assert "data:" not in Client().get(reverse("account_login"))["Content-Security-Policy"]
    script = Client().get(reverse("api-docs"), {"script": ""})
    assert script["Content-Type"].startswith("application/javascript")
