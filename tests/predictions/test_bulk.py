"""Rows go in as they are, whether by INSERT or by COPY."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from predictions.models import Batch, BatchItem, Event, ModelVersion, Patch, Prediction, Priority, Source
from predictions.services import bulk

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
# What either way could take for its own.
ODD = st.sampled_from(["\\N", "\\.", "\t", "\n", "\r\n", "\\x41", "'; DROP TABLE x; --", "%s", "{}", "NULL", "\\", ""])


@pytest.mark.parametrize("copies", [1, bulk.FEW, bulk.FEW + 1])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=TEXT | ODD, payload=st.dictionaries(TEXT, TEXT | st.none() | st.integers(-9, 9) | st.booleans(), max_size=3)
)
def test_any_text_and_json_is_stored_as_it_is(copies: int, text: str, payload: dict[str, object], owner: User) -> None:
    events = [Event(kind=Event.Kind.SUBMITTED, actor=owner, subject=text, payload=payload) for _ in range(copies)]
    Event.objects.all().delete()
    bulk.insert(events)
    assert list(Event.objects.values_list("subject", "payload", "actor")) == [(text, payload, owner.pk)] * copies
    assert Event.objects.filter(created_at__isnull=True).count() == 0


@pytest.mark.parametrize("number", [1, bulk.FEW + 1])
def test_rows_that_name_each_other_go_in_together_and_references_are_checked(owner: User, number: int) -> None:
    batch = Batch(pk=10**9, owner=owner, source=Source.API)
    items = [BatchItem(batch=batch, position=place, name=f"{place}\t\\") for place in range(number)]
    bulk.insert(items, [batch], [])
    assert list(Batch.objects.get().items.order_by("position").values_list("position", "name")) == [
        (place, f"{place}\t\\") for place in range(number)
    ]
    Batch.objects.all().delete()
    bulk.insert([BatchItem(batch_id=10**9 + 1, position=0, name="")])
    with pytest.raises(IntegrityError), transaction.atomic():
        connection.check_constraints()
    BatchItem.objects.all().delete()


def test_a_value_that_breaks_a_constraint_is_refused(owner: User) -> None:
    twice = uuid.uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        bulk.insert([Batch(uuid=twice, owner=owner, source=Source.API) for _ in range(2)])
    assert not Batch.objects.exists()


def test_rows_that_are_alike_share_what_the_pattern_holds_and_nothing_that_is_made_for_each(owner: User) -> None:
    pattern = Prediction(model_version=ModelVersion(pk=7, version="one"), threshold=0.4, priority=Priority.BULK)
    patches = [Patch(pk=key, owner=owner) for key in (1, 2)]
    rows = [bulk.alike(pattern, id=patch.pk, patch=patch) for patch in patches]
    made = [
        Prediction(pk=patch.pk, patch=patch, model_version=pattern.model_version, threshold=0.4) for patch in patches
    ]

    def held(row: Prediction) -> dict[str, object]:
        own = {"_state", "uuid", "next_attempt_at", "queued_at"}  # compared by identity, or random
        return {name: value for name, value in vars(row).items() if name not in own}

    assert [held(row) for row in rows] == [held(row) | {"priority": Priority.BULK} for row in made]
    assert [vars(row._state) for row in rows] == [vars(row._state) for row in made]
    assert len({row.uuid for row in (pattern, *rows)}) == 3
    rows[0].flags.append("scale")
    assert [row.flags for row in (*rows, pattern)] == [["scale"], [], []]


def test_a_new_row_is_what_its_constructor_makes_and_a_field_that_is_none_is_named(owner: User) -> None:
    given = {"kind": Event.Kind.SUBMITTED, "actor": owner, "subject": "s", "payload": {"files": 1}}
    row, made = bulk.new(Event, **given), Event(**given)
    assert vars(row) | {"_state": None, "created_at": None} == vars(made) | {"_state": None, "created_at": None}
    with pytest.raises(AttributeError, match="subjekt"):
        bulk.new(Event, **given, subjekt="s")
