"""`make_error`, `make_result` and `make_results`: what a mock of the client returns and raises."""

from __future__ import annotations

import dataclasses
import importlib
import pickle
from typing import Any
from unittest.mock import create_autospec

import pytest

from leadsquared_async import (
    AuthenticationFailed,
    DeadlineExceeded,
    Delivery,
    LeadSquared,
    LeadSquaredError,
    QuotaExceeded,
    RateLimited,
    Receipt,
    Rejected,
    RequestState,
    RequestStatus,
    Result,
    StillProcessing,
)
from leadsquared_async.errors import InvalidLead
from leadsquared_async.sandbox import Account, Faults, SandboxTransport
from leadsquared_async.testing import client_of, make_error, make_result, make_results, without_waiting
from leadsquared_async.testing.error_factory import _USUAL
from tests.clients import LEAD
from tests.test_surface import MODULES

EXPORTS: dict[str, Any] = {
    name: getattr(module, name)
    for module in map(importlib.import_module, MODULES)
    if not module.__name__.endswith((".events", ".sandbox", ".testing"))
    for name in module.__all__
    if name != "Event"  # an event is made by its class
}
ERRORS = [it for it in EXPORTS.values() if isinstance(it, type) and issubclass(it, LeadSquaredError)]
OPTIONS = {"Credentials", "RateLimit", "RetryPolicy", "Secret", "Submission"}
RESULTS = [it for name, it in EXPORTS.items() if dataclasses.is_dataclass(it) and name not in OPTIONS]
FACTS = ("delivery", "fault", "scope", "safe_to_retry", "status_code", "exception_type", "exception_message")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_public_error_can_be_made(kind: type[LeadSquaredError]) -> None:
    """With a text, pickled or not; a new error needs a row in the table."""
    assert kind is LeadSquaredError or kind in _USUAL
    error = make_error(kind, reference="form-4711")
    assert type(error) is kind
    assert error.reference == "form-4711"
    assert kind is LeadSquaredError or error.message
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    assert make_error(kind, "my text").message == "my text"


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_every_public_result_can_be_made(kind: type[Any]) -> None:
    """A new result needs a row in the table; a field that does not exist is refused."""
    made = make_result(kind)
    assert type(made) is kind
    for field in dataclasses.fields(kind):
        assert make_result(kind, **{field.name: getattr(made, field.name)}) == made
    with pytest.raises(TypeError, match="nope"):
        make_result(kind, nope=1)


def test_what_cannot_be_made_is_refused() -> None:
    """An attribute that the error does not have, and a class that is no result."""
    with pytest.raises(TypeError, match="InvalidLead has no attribute 'status_code'"):
        make_error(InvalidLead, status_code=400)
    with pytest.raises(TypeError, match="LeadSquared is not a result: choose from Receipt, "):
        make_result(LeadSquared)


@pytest.mark.parametrize(
    "fault", ["401", "403", "quota", "500", "503", "200-mx", "500-mx", "redirect", "refused", "429"]
)
async def test_an_error_is_made_as_the_client_raises_it(fault: str) -> None:
    """With the facts of the same error before a sandbox, unless the test says otherwise."""
    transport = SandboxTransport(Account(faults=Faults(probabilities={fault: 1.0})))
    with without_waiting():
        async with client_of(transport) as lsq:
            with pytest.raises(LeadSquaredError) as raised:
                await lsq.leads.capture(LEAD)
    real = raised.value
    if isinstance(real, DeadlineExceeded):
        assert real.__cause__ is not None
        real = real.__cause__
    told = {"status_code": getattr(real, "status_code", None)} if fault in {"500", "200-mx"} else {}
    made = make_error(type(real), **told)  # type: ignore[arg-type]
    assert [getattr(made, name, None) for name in FACTS] == [getattr(real, name, None) for name in FACTS]


async def test_errors_that_come_from_no_answer_are_alike_too() -> None:
    """An invalid lead, a wait that runs out and a call that times out."""
    transport = SandboxTransport(Account(processing_rate=0.001))
    with without_waiting():
        async with client_of(transport, timeout=0.05, deadline=5) as lsq:
            receipt = await lsq.leads.capture(LEAD)
            for call in (lsq.leads.capture({"mx_City": object()}), lsq.leads.wait(receipt, deadline=5)):
                with pytest.raises(LeadSquaredError) as raised:
                    await call
                real = raised.value
                made = make_error(type(real))
                assert [getattr(made, name, None) for name in FACTS] == [
                    getattr(real, name, None) for name in FACTS
                ]


@pytest.mark.parametrize("state", RequestState)
def test_a_status_fits_its_state(state: RequestState) -> None:
    """A failed one has a reason and no lead."""
    status = make_result(RequestStatus, state=state)
    assert status.state is state
    assert status.succeeded == (state is RequestState.SUCCEEDED) == (status.lead_id is not None)
    assert status.is_final == (state in {RequestState.SUCCEEDED, RequestState.FAILED})
    assert (status.reason is not None) == (state is RequestState.FAILED)


async def test_a_mock_of_the_client_takes_what_is_made() -> None:
    """`create_autospec` knows the methods and their arguments."""
    lsq = create_autospec(LeadSquared, instance=True)
    lsq.leads.capture.return_value = make_result(Receipt, reference="form-4711")
    assert (await lsq.leads.capture(LEAD)).reference == "form-4711"
    lsq.leads.capture.side_effect = make_error(RateLimited)
    with pytest.raises(RateLimited):
        await lsq.leads.capture(LEAD)
    with pytest.raises(TypeError):
        await lsq.leads.capture(LEAD, no_such_option=1)
    with pytest.raises(AttributeError):
        lsq.leads.kapture  # noqa: B018


async def test_many_results_are_read_like_those_of_a_batch() -> None:
    """In an `async with` block, and then the error that ended it."""
    failed = make_result(Result, index=1, item=LEAD, error=make_error(Rejected))
    lsq = create_autospec(LeadSquared, instance=True)
    lsq.leads.capture_many.return_value = make_results([make_result(Result, item=LEAD), failed])
    async with lsq.leads.capture_many([LEAD]) as results:
        assert [result.ok async for result in results] == [True, False]
    async with make_results([failed], make_error(AuthenticationFailed)) as results:
        assert await anext(results) == failed
        with pytest.raises(AuthenticationFailed):
            await anext(results)


def test_an_error_of_a_subclass_has_its_own_facts() -> None:
    """Its base class decides where it says nothing else, for a class of the caller's, too."""

    class Mine(StillProcessing): ...

    assert make_error(QuotaExceeded).status_code == make_error(RateLimited).status_code == 429
    assert not make_error(QuotaExceeded).safe_to_retry
    assert make_error(Mine).delivery is Delivery.ACCEPTED
