"""The test kit's messages and values show no key, and no value of a lead that nobody compared."""

from __future__ import annotations

import pytest

from leadsquared_async import (
    APIError,
    LeadSquared,
    LeadSquaredError,
    Rejected,
    RequestStatus,
    StillProcessing,
)
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.testing import client_of, make_error, make_result, without_waiting
from tests.clients import KEYS
from tests.leaks import ECHO, PERSON, assert_nothing_secret, shown

REAL = {name: f"planted-{number}-of-a-real-account" for number, name in enumerate(KEYS)}


async def test_an_assertion_about_calls_that_failed_shows_what_none_of_them_sent() -> None:
    """Neither the keys of a client that is configured for a real account, nor the lead."""
    async with Sandbox(attributes=list(PERSON)) as sandbox:
        async with LeadSquared(**REAL, host=sandbox.url) as lsq:
            with pytest.raises(LeadSquaredError):
                await lsq.leads.capture(PERSON)
        async with client_of(sandbox) as lsq:
            await lsq.leads.capture(PERSON)
            with pytest.raises(LeadSquaredError):
                await lsq.request("POST", "/lead/capture", json=[{"Attribute": PERSON["Phone"]}])
        for values in ({"mx_City": "Pune"}, {"mx_City": next(iter(KEYS.values()))}):
            with pytest.raises(AssertionError) as raised:
                sandbox.assert_captured(**values)
            assert "calls that were not accepted" in str(raised.value)
            assert_nothing_secret(str(raised.value))
            assert not any(key in str(raised.value) for key in REAL.values())


@pytest.mark.parametrize("kind", [Rejected, APIError])
def test_a_made_error_hides_what_the_client_s_hides(kind: type[APIError]) -> None:
    """LeadSquared's text and body can be reached by name only."""
    error = make_error(kind, exception_message=ECHO, body=ECHO)
    assert error.body == ECHO
    assert_nothing_secret(shown(error))


def test_a_made_status_hides_the_lead() -> None:
    """Also as an attribute of an error."""
    status = make_result(RequestStatus, message={"Echo": ECHO}, request_body=ECHO)
    assert_nothing_secret(repr(status))
    assert_nothing_secret(shown(make_error(StillProcessing, last_status=status)))


async def test_a_block_shows_nothing_of_its_calls() -> None:
    """Its repr is that of any object."""
    with without_waiting() as waits:
        async with Sandbox() as sandbox, client_of(sandbox) as lsq:
            await lsq.leads.capture(PERSON)
            assert_nothing_secret(repr((waits, sandbox, lsq)))
