"""What schemathesis knows beyond the schema: real images, ids that exist, the other user. The tool itself loads it.

The environment tells it: IDC_TOKEN, the caller's; IDC_IDS, private rows of the caller, as {"batch": [...], "kept": ...,
"changed": ..., "deleted": ...}: ids of predictions by what is done to them; beside these "webhook" and "delivery",
"gone_webhook", to be deleted, "shared" by somebody else, "draw" and "review" of the caller, who is a reviewer.
IDC_OTHER_TOKEN, of one who may see none of it.
"""

from __future__ import annotations

import json
import os
from typing import Any
from uuid import uuid4

import requests
import schemathesis
from hypothesis import strategies as st

from tests import pictures

IDS: dict[str, list[str]] = json.loads(os.environ["IDC_IDS"])
OTHER = {"Authorization": f"Bearer {os.environ['IDC_OTHER_TOKEN']}"}
KEPT = {*IDS["kept"], *IDS["batch"], *IDS["webhook"]}
MINE = {*KEPT, *IDS["changed"], *IDS["deleted"]}
POOLS = {"delete_prediction": "deleted", "report_patch": "shared"} | dict.fromkeys(
    ("share_prediction", "unshare_prediction", "rerun_prediction"), "changed"
)
OF_ONE_KIND = {"batch_id": "batch", "webhook_id": "webhook", "delivery_id": "delivery", "draw_id": "draw",
               "review_id": "review"}  # fmt: skip
OWN_RECEIVER: dict[str, Any] = {"url": "http://127.0.0.1/hook"}  # the server of the test lets webhooks lead there

IMAGES = st.sampled_from([pictures.png(seed=seed) for seed in range(5)])

schemathesis.openapi.format("binary", st.one_of(IMAGES, IMAGES, st.binary(max_size=64)))


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, parameters: dict[str, Any] | None) -> Any:
    """Three of four ids are of rows that exist; which, the generated one decides, so that a run can be repeated."""
    mapped = {}
    for name, value in (parameters or {}).items():
        if isinstance(value, str) and (name in OF_ONE_KIND or name == "prediction_id"):
            number = sum(value.encode("utf-8", "replace"))
            pool = IDS[pool_of(context.operation, name)]
            mapped[name] = pool[number % len(pool)] if number % 4 else value
    return parameters | mapped if parameters else parameters


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """What is kept stays private, also where a link led to it. Half of the webhooks lead to where the server may send,
    the others into the void. Each call comes from another address: wrong tokens are counted by address, and here they
    are sent on purpose."""
    for name, kept in (case.path_parameters or {}).items():
        pool = pool_of(case.operation, name)
        if pool in ("changed", "deleted", "gone_webhook") and kept in KEPT:
            replaced = {name: IDS[pool][sum(kept.encode()) % len(IDS[pool])]}
            case.path_parameters = (case.path_parameters or {}) | replaced
    body: Any = case.body
    is_new = id_of(case.operation) == "create_webhook" and isinstance(body, dict) and set(body) == {"url"}
    if is_new and len(str(body["url"])) % 2:  # here and no sooner, as it is checked anew whether it is valid
        case.body = OWN_RECEIVER
    case.headers["X-Forwarded-For"] = f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}"


def pool_of(operation: Any, name: str) -> str:
    """Which rows an operation is tried on. (What a re-run gives can be deleted, and its patch with it.)"""
    if name == "webhook_id" and id_of(operation) == "delete_webhook":
        return "gone_webhook"
    return OF_ONE_KIND.get(name) or POOLS.get(id_of(operation), "kept")


def id_of(operation: Any) -> str:
    return str(operation.definition.raw["operationId"]) if operation else ""


@schemathesis.check
def others_are_told_nothing(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """What the caller does with a private row, another user is answered as for an id that nobody has."""
    is_for_others = case.method in ("GET", "HEAD") or id_of(case.operation) == "report_patch"
    own = KEPT if is_for_others else MINE  # what was shared may be read and reported
    mine = [str(value) for value in (case.path_parameters or {}).values() if value in own]
    if not mine or response.status_code == 405 or response.request.method == "OPTIONS":  # told of any id
        return
    sent = case.as_transport_kwargs()
    kept = {name: value for name, value in sent["headers"].items() if name.lower() != "authorization"}
    sent |= {"headers": kept | OTHER, "timeout": 10, "allow_redirects": False}
    unknown = sent | {"url": sent["url"].replace(mine[0], str(uuid4()))}
    refused, expected = (requests.request(**one) for one in (sent, unknown))
    if (refused.status_code, refused.content) != (404, expected.content):
        raise AssertionError(
            f"Another user was answered {refused.status_code} {refused.text[:200]}, "
            f"where for an unknown id it is {expected.status_code} {expected.text[:200]}"
        )
