"""The key of a row."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any

import pytest

from leadsquared_async.cli.files.rows import REASON
from tests.cli.files.leads import made, refusal


def test_a_key_may_be_a_part_of_an_object() -> None:
    """--key names a part as --map does."""
    assert key_of({"FirstName": "Bret", "meta": {"id": 7}}, key_column="meta.id", ignored=["meta.id"]) == "7"


def key_of(cells: dict[str, Any], extra: dict[str, str | None] | None = None, **options: Any) -> str:
    found = made(cells, extra, **options)
    assert found.key is not None
    return found.key


CELLS = {"FirstName": "Bret", "Phone": "+91-9988776655"}


def test_the_same_lead_has_the_same_key() -> None:
    """The key does not depend on line, column order, white space or headings."""
    key = key_of(CELLS)
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert key == key_of(dict(reversed(CELLS.items())))
    assert key == key_of(
        {"FirstName": " Bret", "Phone": "+91-9988776655 ", "Age": "41", REASON: "x"}, ignored=["Age"]
    )
    assert key == key_of(
        {"Name": "Bret", "Tel": "+91-9988776655"}, columns={"Name": "FirstName", "Tel": "Phone"}
    )
    assert key == key_of(CELLS, extra={"update_behavior": None})
    assert key_of({"J": "2024-02-29 05:30+05:30"}, dates=["J"]) == key_of(
        {"J": "2024-02-29T00:00Z"}, dates=["J"]
    )


def test_keys_are_stable() -> None:
    """Keys are stable across versions, because later runs compare them."""
    cells = CELLS | {"mx_N": Decimal("1.50"), "mx_D": "2024-02-29 05:30+05:30", "Name": "José"}
    key = key_of(cells, dates=["mx_D"], search_by="Phone", extra={"update_behavior": "DoNotUpdate"})
    recipe = (
        '[{"FirstName": "Bret", "Name": "Jos\\u00e9", "Phone": "+91-9988776655", '
        '"mx_D": "2024-02-29 00:00:00", "mx_N": "1.50"}, "Phone", {"update_behavior": "DoNotUpdate"}]'
    )
    assert key == hashlib.sha256(recipe.encode()).hexdigest()


def test_a_changed_value_changes_the_key() -> None:
    """A changed cell, constant, SearchBy or other sent option changes the key."""
    keys = [
        key_of(CELLS),
        key_of(CELLS | {"FirstName": "bret"}),
        key_of(CELLS | {"LastName": "Lee"}),
        key_of({"FirstName": "Bret", "Mobile": "+91-9988776655"}),
        key_of(CELLS, constants={"Source": "Website"}),
        key_of(CELLS, constants={"Source": "Web"}),
        key_of(CELLS, search_by="Phone"),
        key_of(CELLS, extra={"update_behavior": "DoNotUpdate"}),
        key_of(CELLS, extra={"update_behavior": "UpdateOnlyEmptyFields"}),
        key_of(CELLS | {"mx_J": "2024-02-29"}),
        key_of(CELLS | {"mx_J": "2024-02-29"}, dates=["mx_J"]),
        key_of(CELLS | {"mx_J": "2024-02-29 00:00"}, dates=["mx_J"], timezone="Asia/Kolkata"),
        key_of(CELLS | {"mx_N": Decimal("1.50")}),
        key_of(CELLS | {"mx_N": Decimal("1.5")}),
        key_of(CELLS | {"mx_S": {"mx_A": "x"}}),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("cell", "key"), [("4711", "4711"), (" 4711\u00a0", "4711"), (4711, "4711"), ("a b", "a b")]
)
def test_a_key_column(cell: Any, key: str) -> None:
    """The key is the cell of the key column, also if that column is not sent."""
    assert key_of(CELLS | {"Id": cell}, key_column="Id", ignored=["Id"]) == key
    assert key_of(CELLS | {"Id": cell}, key_column="Id") == key


@pytest.mark.parametrize("cell", ["", " ", None, True, Decimal("1.0"), {}, "9.98878E+09", "#N/A", "a\x00"])
def test_a_key_refused(cell: Any) -> None:
    """An empty or damaged key is refused, because rows would share it."""
    found = made(CELLS | {"Id": cell}, key_column="Id", ignored=["Id"])
    assert [flaw.column for flaw in found.flaws] == ["Id"]
    assert found.key is None
    assert "empty" in str(refusal(CELLS, key_column="Id"))
