"""Why LeadSquared rejects a lead, as far as it may be shown."""

from __future__ import annotations

import pytest

from leadsquared_async.delivery.reasons import KILLED, LOST, OTHER, UNREADABLE, kind_of, kind_of_unknown


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("MXDuplicateEntryException: A Lead with same Email already exists.", "MXDuplicateEntryException"),
        (
            "MXUnknownAttributeException: Attribute(s) does not exist - mx_Foo, mx_Bar, mx_Other.",
            "MXUnknownAttributeException (mx_Bar, mx_Foo)",
        ),
        ("MXInvalidInputException: mx_Foo is bret", "MXInvalidInputException"),
        ("MXUnknownAttributeException", "MXUnknownAttributeException"),
        ("bret.lee@example.com is no lead", OTHER),
        ("MX: bret", OTHER),
        ("", OTHER),
        (None, OTHER),
    ],
)
def test_only_the_kind_of_a_reason_is_shown(reason: str | None, kind: str) -> None:
    """LeadSquared's words may hold a value; its exception's name and the user's own schema names do not."""
    assert kind_of(reason, {"mx_Foo", "mx_Bar"}) == kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (f"{KILLED}: check it", KILLED),
        (f"{UNREADABLE}: its query is not JSON", UNREADABLE),
        (f"{LOST} Bret has no such request", "it was accepted, but its outcome cannot be fetched"),
        ("NullReferenceException: Bret", "NullReferenceException"),
        ("Bret's answer was lost", "no answer says whether it arrived"),
        (None, "no answer says whether it arrived"),
    ],
)
def test_an_unknown_item_says_why_without_values(reason: str | None, kind: str) -> None:
    """The beginning is this package's own; what LeadSquared wrote after it is not shown."""
    assert kind_of_unknown(reason) == kind
