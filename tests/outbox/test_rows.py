"""Rows as they are read from the file, whoever wrote them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, LEADS_CAPTURE
from leadsquared_async.outbox import ItemState
from leadsquared_async.outbox.rows import (
    BEFORE_ALL,
    BULK,
    CLAIMED,
    COLUMNS,
    FILES,
    FORMS,
    WITHOUT_VALUES,
    UnreadableRowError,
    item_of,
    moment,
    operation_shown,
    row_of,
    stored,
    submission_in,
    write_named,
)

CONTENT = b'[{"Attribute":"Phone","Value":"9988776655"}]'
NAME = LEADS_CAPTURE.name
YEAR_3000 = 32_503_680_000.0


def claimed(**changes: Any) -> tuple[Any, ...]:
    """The columns of a row to be sent."""
    columns = {
        "id": 7,
        "operation": NAME,
        "content": CONTENT,
        "query": '[["LeadUpdateBehavior", "DoNotUpdate"]]',
        "suffix": '["k"]',
        "identified": 1,
        "reference": "r-1",
        "traceparent": "t-1",
        "request_id": "q-1",
        "attempts": 2,
        "is_sending": 1,
    }
    return tuple((columns | changes).values())


def listed(**changes: Any) -> tuple[Any, ...]:
    """The columns of a row to be shown."""
    columns = {
        "id": 7,
        "key": "k-1",
        "reference": "r-1",
        "operation": NAME,
        "state": "accepted",
        "content": CONTENT,
        "query": "[]",
        "suffix": "[]",
        "put_at": 1.8e9,
        "changed_at": 1.9e9,
        "attempts": 3,
        "request_id": "q-1",
        "lead_id": "l-1",
        "created": 1,
        "reason": None,
    }
    return tuple((columns | changes).values())


def test_the_lanes_and_columns() -> None:
    """Forms go before files, and the columns are as many as the functions take."""
    assert (FORMS, FILES) == (0, 1)
    assert BEFORE_ALL < -(2**63)
    assert len(COLUMNS.split(", ")) == len(listed())
    assert len(CLAIMED.split(", ")) == len(claimed())
    assert "content" not in WITHOUT_VALUES


def test_a_row_that_is_sound() -> None:
    """Each column is where it belongs; the values are not in its repr."""
    row = row_of(claimed())
    assert not hasattr(row, "__dict__")
    assert (row.id, row.operation, row.content) == (7, NAME, CONTENT)
    assert (row.identified, row.reference, row.traceparent) == (True, "r-1", "t-1")
    assert (row.request_id, row.attempts, row.is_sending) == ("q-1", 2, True)
    assert not any(word in repr(row) for word in ("9988776655", "DoNotUpdate", "suffix"))
    submission = stored(row)
    assert (submission.operation, submission.content) == (LEADS_CAPTURE, CONTENT)
    assert (submission.query, submission.suffix) == ((("LeadUpdateBehavior", "DoNotUpdate"),), ("k",))
    assert (submission.identified, submission.reference) == (True, "r-1")


@pytest.mark.parametrize(
    ("column", "value", "attribute", "read"),
    [
        ("operation", None, "operation", ""),
        ("operation", 7, "operation", ""),
        ("identified", 0, "identified", False),
        ("identified", 2, "identified", False),
        ("identified", "1", "identified", False),
        ("reference", 7, "reference", None),
        ("traceparent", b"x", "traceparent", None),
        ("request_id", 1.5, "request_id", None),
        ("attempts", "many", "attempts", 0),
        ("attempts", None, "attempts", 0),
        ("is_sending", 0, "is_sending", False),
    ],
)
def test_a_column_of_another_type_is_none(column: str, value: object, attribute: str, read: object) -> None:
    """What another program wrote is read as missing, never as something else."""
    assert getattr(row_of(claimed(**{column: value})), attribute) == read


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"operation": "leads.delete"}, "does not know the operation leads.delete: upgrade"),
        ({"operation": None}, "does not know the operation ''"),
        ({"content": None}, "its values are erased"),
        ({"content": b"{"}, f"its content is not valid for {NAME}"),
        ({"content": b"{}"}, f"its content is not valid for {NAME}"),
        ({"content": b"[" * 100_000}, f"its content is not valid for {NAME}"),
        ({"content": 7}, f"its content is not valid for {NAME}"),
        ({"query": "{"}, "its query is not JSON"),
        ({"query": None}, "its query is not JSON"),
        ({"query": "[" * 100_000}, "its query is not JSON"),
        ({"query": b"\xff"}, "its query is not JSON"),
        ({"query": "{}"}, "its query is not a list of pairs of strings"),
        ({"query": '["ab"]'}, "its query is not a list of pairs of strings"),
        ({"query": '[["a"]]'}, "its query is not a list of pairs of strings"),
        ({"query": '[["a", "b", "c"]]'}, "its query is not a list of pairs of strings"),
        ({"query": '[["a", 1]]'}, "its query is not a list of pairs of strings"),
        ({"query": '[["a", "\\ud800"]]'}, "its query is not a list of pairs of strings"),
        ({"query": '[["a", "\\udfff"]]'}, "its query is not a list of pairs of strings"),
        ({"suffix": "{}"}, "its suffix is not a list of strings"),
        ({"suffix": "[1]"}, "its suffix is not a list of strings"),
        ({"suffix": "["}, "its suffix is not JSON"),
    ],
)
def test_a_row_that_cannot_be_sent_says_why(changes: dict[str, object], why: str) -> None:
    """The text names the column and has no value."""
    with pytest.raises(UnreadableRowError) as caught:
        stored(row_of(claimed(**changes)))
    assert why in str(caught.value)
    assert caught.value.__cause__ is None
    assert "9988776655" not in str(caught.value)


@pytest.mark.parametrize("value", ['[["a", "\ud7ff"]]', '[["a", "\ue000"]]', b'[["a", "b"]]', "[]"])
def test_a_query_of_any_text_that_a_url_can_hold(value: object) -> None:
    """The characters beside the surrogates are text; bytes are read as text."""
    assert len(stored(row_of(claimed(query=value))).query) <= 1


def test_the_operations_of_rows() -> None:
    """Every operation, and bulk rows."""
    assert write_named(NAME) is LEADS_CAPTURE
    assert write_named(BULK) is BULK_CREATE_OR_UPDATE
    for name in (None, 7, ["a"], "nothing"):
        with pytest.raises(UnreadableRowError, match="does not know the operation"):
            write_named(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("leads.capture", "leads.capture"),
        ("a" * 60, "a" * 60),
        ("a" * 61, "'" + "a" * 59),
        ("two\nlines", "'two\\nlines'"),
        ("", "''"),
        ("é", "'\\xe9'"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_an_operation_is_shown_on_one_short_line(name: object, shown: str) -> None:
    """Other text is shown as Python would write it, cut off."""
    assert operation_shown(name) == shown


def test_an_item_that_is_sound() -> None:
    """Each column is where it belongs."""
    item = item_of(listed())
    assert (item.id, item.key, item.reference, item.operation) == (7, "k-1", "r-1", NAME)
    assert (item.state, item.lead, item.details) == (ItemState.ACCEPTED, {"Phone": "9988776655"}, None)
    assert item.put_at == datetime.fromtimestamp(1.8e9, UTC)
    assert item.changed_at == datetime.fromtimestamp(1.9e9, UTC)
    assert (item.attempts, item.request_id, item.lead_id) == (3, "q-1", "l-1")
    assert (item.created, item.reason, item.is_erased) == (True, None, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content": None}, {"lead": None, "is_erased": True, "reason": None}),
        ({"content": None, "operation": "x"}, {"lead": None, "operation": "x"}),
        ({"content": b"{"}, {"lead": None, "reason": "it cannot be read: its content is not JSON"}),
        ({"content": b"{", "reason": "MX"}, {"reason": "MX"}),
        ({"content": b"[1]"}, {"reason": f"it cannot be read: its content is not valid for {NAME}"}),
        ({"content": b'[{"a":1}]'}, {"reason": f"it cannot be read: its content is not valid for {NAME}"}),
        ({"state": "sold"}, {"state": ItemState.UNKNOWN}),
        ({"state": None}, {"state": ItemState.UNKNOWN}),
        ({"created": None}, {"created": None}),
        ({"created": 0}, {"created": False}),
        ({"key": 7, "lead_id": 8, "reason": 9}, {"key": None, "lead_id": None, "reason": None}),
        ({"attempts": "x"}, {"attempts": 0}),
        ({"put_at": "x"}, {"put_at": datetime.fromtimestamp(0, UTC)}),
    ],
)
def test_an_item_that_another_program_changed(changes: dict[str, object], expected: dict[str, Any]) -> None:
    """It is shown as far as it can be read, and its reason says what cannot."""
    item = item_of(listed(**changes))
    assert {name: getattr(item, name) for name in expected} == expected


def test_an_erased_item_of_an_unknown_operation_says_so() -> None:
    """It cannot be sent again by this version."""
    assert "does not know the operation x" in str(item_of(listed(content=None, operation="x")).reason)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (0.5, 0.5),
        (1, 1.0),
        (-0.1, 0.0),
        (YEAR_3000 - 1, YEAR_3000 - 1),
        (YEAR_3000, 0.0),
        (float("nan"), 0.0),
        ("1", 0.0),
        (None, 0.0),
    ],
)
def test_a_moment_is_from_1970_to_3000(value: object, seconds: float) -> None:
    """Anything else is 1970, so that it can be shown as a date."""
    assert moment(value) == seconds


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, None, 7])
def test_content_that_is_no_json_has_no_submission(content: object) -> None:
    """It says so, without the content."""
    with pytest.raises(UnreadableRowError, match="its content is not JSON"):
        submission_in(NAME, content, "[]", "[]")


def test_a_submission_has_all_its_parts() -> None:
    """The lead, the query, the suffix and the reference."""
    found = submission_in(NAME, CONTENT, '[["a", "b"]]', '["c"]', "r")
    assert (found.operation, found.lead) == (LEADS_CAPTURE, {"Phone": "9988776655"})
    assert (dict(found.query), tuple(found.suffix), found.reference) == ({"a": "b"}, ("c",), "r")
