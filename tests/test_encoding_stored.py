"""What an outbox stores of a submission: equal values have one fingerprint, and no repr shows them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from leadsquared_async import ConfigurationError, InvalidLead, Submission, submissions
from leadsquared_async.encoding import EncodedSubmission, encode
from leadsquared_async.operations import CALLS_LOG, LEADS_CAPTURE

GUID = "7a3c1f00-0000-4000-8000-000000000001"
SECRET = "zq-private-4711"


def activity(fields: dict[str, Any]) -> Submission:
    return submissions.create_activity(GUID, event=201, fields=fields)


def with_lead(fields: dict[str, Any]) -> Submission:
    return submissions.create_lead_and_activity({"Phone": "1"}, search_by="Phone", event=201, fields=fields)


@pytest.mark.parametrize("make", [activity, with_lead, submissions.capture_lead])
def test_values_in_another_order_are_the_same(make: Any) -> None:
    """The order does not change the fingerprint, in field sets too; a value does."""
    first = make({"mx_A": "1", "mx_Set": {"mx_C": "2", "mx_D": "3"}})
    other = make({"mx_Set": {"mx_D": "3", "mx_C": "2"}, "mx_A": "1"})
    changed = make({"mx_Set": {"mx_D": "3", "mx_C": "4"}, "mx_A": "1"})
    assert encode(first).content != encode(other).content
    assert encode(first).fingerprint == encode(other).fingerprint
    assert encode(first).fingerprint != encode(changed).fingerprint


def test_a_left_out_attribute_is_not_shown() -> None:
    """It is kept for the fingerprint, and its value is in no repr."""
    made = encode(submissions.capture_lead({"Phone": "1"}), ("mx_Old",), [("mx_Old", SECRET)])
    assert made.as_given is not None
    assert SECRET in made.as_given.decode()
    assert SECRET not in repr(made)


def test_an_encoded_submission_cannot_be_changed() -> None:
    """What was checked is what is sent."""
    made = encode(submissions.capture_lead({"Phone": "1"}))
    with pytest.raises(FrozenInstanceError):
        made.content = b"[]"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("operation", "content", "said"), [(LEADS_CAPTURE, b"{}", "array"), (CALLS_LOG, b"[]", "object")]
)
def test_a_stored_row_of_another_shape(operation: Any, content: bytes, said: str) -> None:
    """The error says which of the two JSON should be."""
    with pytest.raises(ValueError, match=f"^not a JSON {said}$"):
        EncodedSubmission.stored(operation, content, identified=False)


def test_flags_that_exclude_each_other_name_the_first() -> None:
    """The error's attribute is one of the two that the message names."""
    with pytest.raises(InvalidLead) as caught:
        encode(
            submissions.capture_opportunity(
                {"Phone": "1"},
                search_by="Phone",
                event_code=12000,
                overwrite_fields=True,
                update_empty_fields=True,
            )
        )
    assert caught.value.attribute == "OverwriteFields"


def test_an_update_behavior_in_a_submission_of_your_own() -> None:
    """It is checked as the one of `capture_lead` is."""
    submission = Submission(
        operation=LEADS_CAPTURE, lead={"Phone": "1"}, query={"LeadUpdateBehavior": "Overwrite"}
    )
    with pytest.raises(ConfigurationError, match="update_behavior"):
        encode(submission)
