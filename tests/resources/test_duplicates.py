"""LeadSquared rejects a value of a unique field that another lead has: an error of its own."""

from __future__ import annotations

import pytest

from leadsquared_async import Delivery, Duplicate, Fault, LeadSquared, Rejected, RequestStatus, Scope
from leadsquared_async.errors import rejected_later
from leadsquared_async.models import RequestState
from leadsquared_async.sandbox import Books, Faults
from tests.clients import LEAD, play

PHONE = {"Phone": "+91-9988776655"}
SAID = "MXDuplicateEntryException: A Lead with same Email already exists."


@pytest.mark.parametrize("fault", ["500-mx", "200-mx"])
def test_an_answer_raises_it_and_says_how_to_go_on(fault: str) -> None:
    """Under any HTTP status; it is a `Rejected`, and nothing was accepted."""

    async def act(lsq: LeadSquared, _books: Books) -> None:
        with pytest.raises(Duplicate, match=r"leads\.find.*leads\.update.*leave the field out") as caught:
            await lsq.leads.capture(LEAD)
        error = caught.value
        assert isinstance(error, Rejected)
        assert (error.delivery, error.fault, error.scope) == (Delivery.REJECTED, Fault.LEAD, Scope.LEAD)
        assert (error.attempts, error.exception_type) == (1, "MXDuplicateEntryException")

    play(act, Faults(probabilities={fault: 1.0}))


def test_a_followed_request_ends_with_it() -> None:
    """An e-mail address of one lead with the phone number of another: accepted, then rejected."""

    async def act(lsq: LeadSquared, _books: Books) -> RequestStatus:
        for lead in (LEAD, PHONE):
            assert Rejected.of(await lsq.leads.wait(await lsq.leads.capture(lead))) is None
        return await lsq.leads.wait(await lsq.leads.capture(LEAD | PHONE))

    error = Rejected.of(play(act))
    assert isinstance(error, Duplicate)
    assert (error.delivery, error.fault, error.scope) == (Delivery.ACCEPTED, Fault.LEAD, Scope.LEAD)
    assert error.exception_message == "A Lead with same Phone Number already exists."
    assert "leads.find" in str(error)
    assert "Phone Number" not in str(error)


@pytest.mark.parametrize(
    ("reason", "kind", "name", "said"),
    [
        (SAID, Duplicate, "MXDuplicateEntryException", "A Lead with same Email already exists."),
        ("MXDuplicateEntryException", Duplicate, "MXDuplicateEntryException", None),
        ("MXUnknownAttributeException: no mx_Foo", Rejected, "MXUnknownAttributeException", "no mx_Foo"),
        ("A Lead with same Email already exists.", Rejected, None, "A Lead with same Email already exists."),
        ("", Rejected, None, None),
        (None, Rejected, None, None),
    ],
)
def test_a_reason_names_its_error(
    reason: str | None, kind: type[Rejected], name: str | None, said: str | None
) -> None:
    """LeadSquared's name decides; its words, which may quote the lead, are in an attribute only."""
    error = rejected_later(reason)
    assert type(error) is kind
    assert (error.exception_type, error.exception_message) == (name, said)
    assert said is None or said not in str(error)


@pytest.mark.parametrize("state", [RequestState.QUEUED, RequestState.OTHER, RequestState.FAILED])
def test_only_a_final_status_has_an_error(state: RequestState) -> None:
    """A request that LeadSquared retries may succeed."""
    assert Rejected.of(RequestStatus("id", state, state.value, is_final=False, reason=SAID)) is None


@pytest.mark.parametrize("name", ["MXDuplicateEntryException", "MxDuplicateEntryException"])
def test_the_exceptions_case_does_not_matter(name: str) -> None:
    """An answer and a later status are read by one rule."""
    assert type(rejected_later(f"{name}: the e-mail is taken")) is Duplicate
