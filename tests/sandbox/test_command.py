"""What `leadsquared sandbox` makes of its options."""

import pytest

from leadsquared_async.cli.sandbox import sandbox_options
from leadsquared_async.sandbox.settings import Options

DEFAULTS = {
    "limit": "25/5",
    "counting": "sliding-log",
    "latency": 0.0,
    "jitter": 0.0,
    "faults": [],
    "processing_rate": 600.0,
    "speed": 1.0,
    "attributes": "any",
    "mandatory": None,
    "unique": "EmailAddress,Phone",
    "fields": 60,
    "bulk_limit": "1/5",
    "seed": 0,
}


def options(**changes: object) -> Options:
    return sandbox_options(**{**DEFAULTS, **changes})


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("any", None),
        ("account", "account"),
        ("EmailAddress", ["EmailAddress"]),
        ("EmailAddress, mx_City", ["EmailAddress", "mx_City"]),
    ],
)
def test_the_attributes(text: str, attributes: object):
    """Any, those of a believable account, or a list."""
    assert options(attributes=text)["attributes"] == attributes


@pytest.mark.parametrize(
    ("text", "unique"), [("none", []), ("Phone", ["Phone"]), ("Phone, mx_Id", ["Phone", "mx_Id"])]
)
def test_the_unique_fields(text: str, unique: list[str]):
    """A list, or none."""
    assert options(unique=text)["unique"] == unique


@pytest.mark.parametrize(("text", "limit"), [("1/5", (1, 5.0)), ("5/2.5", (5, 2.5)), ("none", None)])
def test_the_bulk_limit(text: str, limit: tuple[int, float] | None):
    """Calls in seconds, or none."""
    assert options(bulk_limit=text)["bulk_limit"] == limit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bulk_limit": "fast"}, "--bulk-limit is written as calls/seconds"),
        ({"limit": "fast"}, "--limit is written as calls/seconds"),
        ({"attributes": "Email Address"}, "--attributes is written as schema names"),
        ({"unique": "Email Address"}, "--unique is written as schema names"),
        ({"fields": 0}, "fields is a whole number from 1 to 10000, not 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object], message: str):
    """With the option's name."""
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_the_number_of_fields():
    """As it is given."""
    assert options(fields=400)["fields"] == 400
