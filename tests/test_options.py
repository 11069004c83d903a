"""The options of a client, its copies and its calls agree."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any
from unittest.mock import create_autospec

import httpx
import pytest

from leadsquared_async import (
    ConfigurationError,
    DeadlineExceeded,
    Lane,
    LeadSquared,
    RetryPolicy,
    Timeout,
    submissions,
)
from leadsquared_async.http.call import Settings
from leadsquared_async.http.run import run
from leadsquared_async.resources.leads import Leads
from tests.clients import answering

OF_A_CALL = {field.name for field in dataclasses.fields(Settings)}
RESOURCES = ("leads", "activities", "opportunities", "calls", "fields", "bulk")
SENDING = [
    *(LeadSquared.submit, LeadSquared.leads.capture, LeadSquared.leads.update, LeadSquared.calls.log),
    *(LeadSquared.activities.create, LeadSquared.activities.create_with_lead),
    *(LeadSquared.opportunities.capture, LeadSquared.opportunities.update),
]


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return {name: it for name, it in inspect.signature(function).parameters.items() if name != "self"}


def bare(annotation: str) -> set[str]:
    """The types of an option, without the two that say that it is not given."""
    return set(annotation.split(" | ")) - {"None", "Literal['client']"}


def test_with_options_takes_all_options_of_a_call() -> None:
    """An option that is added to calls is added to copies; all of them are the client's, but for the lane."""
    copies, client = parameters(LeadSquared.with_options), parameters(LeadSquared)
    assert copies.keys() == OF_A_CALL
    assert copies.keys() - client.keys() == {"lane"}
    assert client.keys() - copies.keys() == {
        *("access_key", "secret_key", "api_key", "credentials", "region", "host", "sync_host", "name"),
        *("rate_limit", "bulk_limit", "limiter", "transport", "validate", "normalize", "on_event"),
        *("paths", "keys_in"),
    }
    for name in OF_A_CALL - {"lane"}:
        assert bare(copies[name].annotation) == bare(client[name].annotation), name
        assert copies[name].kind is client[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("method", SENDING, ids=lambda method: method.__qualname__)
def test_a_method_that_submits_one_takes_a_deadline_or_what_its_submission_takes(method: Any) -> None:
    """`submit` and `leads.capture` take a deadline; the other options of a call are for `with_options`."""
    own = parameters(method)
    if own.keys() & OF_A_CALL:
        assert method in {LeadSquared.submit, LeadSquared.leads.capture}
        assert own.keys() & OF_A_CALL == {"deadline"}
        assert own["deadline"] == parameters(LeadSquared.with_options)["deadline"]
        return
    made_by = {
        "Leads.update": submissions.update_lead,
        "Activities.create": submissions.create_activity,
        "Activities.create_with_lead": submissions.create_lead_and_activity,
        "Opportunities.capture": submissions.capture_opportunity,
        "Opportunities.update": submissions.update_opportunity,
        "Calls.log": submissions.log_call,
    }
    assert own == parameters(made_by[method.__qualname__])


def test_every_method_that_sends_is_looked_at() -> None:
    """A method that takes a reference hands something over."""
    found = {
        method.__qualname__
        for name in RESOURCES
        for method in vars(getattr(LeadSquared, name)).values()
        if inspect.isfunction(method) and "reference" in inspect.signature(method).parameters
    }
    assert found == {method.__qualname__ for method in SENDING} - {"LeadSquared.submit"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Settings(None, 600.0, 30.0, RetryPolicy())),
        ({"lane": Lane.BATCH}, Settings(Lane.BATCH, 600.0, 30.0, RetryPolicy())),
        ({"deadline": 5}, Settings(None, 5.0, 30.0, RetryPolicy())),
        ({"deadline": None}, Settings(None, None, 30.0, RetryPolicy())),
        ({"deadline": "client", "timeout": None}, Settings(None, 600.0, 30.0, RetryPolicy())),
        ({"timeout": 2}, Settings(None, 600.0, 2.0, RetryPolicy())),
        ({"retry": RetryPolicy(attempts=1)}, Settings(None, 600.0, 30.0, RetryPolicy(attempts=1))),
    ],
)
async def test_a_copy_sends_with_its_options(
    options: dict[str, Any], expected: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They change the passed options and nothing else."""
    seen: list[Settings] = []

    async def noting(session: Any, call: Any, settings: Settings, *hooks: Any) -> Any:
        seen.append(settings)
        return await run(session, call, settings, *hooks)

    monkeypatch.setattr("leadsquared_async.http.run.run", noting)
    async with answering(lambda request: httpx.Response(200, json={})) as lsq:
        await lsq.with_options(**options).request("GET", "/x")
    assert seen == [expected]


@pytest.mark.parametrize(
    "options", [{"lane": "batch"}, {"deadline": 0}, {"timeout": -1}, {"retry": 3}, {"timeout": float("nan")}]
)
async def test_an_option_of_a_call_that_is_invalid(options: dict[str, Any]) -> None:
    """It raises where it is passed, by its name."""
    async with answering(lambda request: httpx.Response(200, json={})) as lsq:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            lsq.with_options(**options)
        if "deadline" in options:
            with pytest.raises(ConfigurationError, match="deadline"):
                await lsq.request("GET", "/x", **options)


@pytest.mark.parametrize("wrong", [None, 5, b"/x", ["/x"], {"a": 1}, {"/x"}, object()])
@pytest.mark.parametrize("option", ["method", "path", "query", "host", "keys"])
async def test_an_argument_of_a_request_of_another_type(option: str, wrong: Any) -> None:
    """It is a ConfigurationError that names the argument, for every type; nothing is sent."""
    if option == "query" and wrong is None:
        return
    async with answering(lambda request: pytest.fail("sent")) as lsq:
        with pytest.raises(ConfigurationError, match=option):
            await lsq.request(**{"method": "GET", "path": "/x", option: wrong})


async def test_a_request_has_bounds_of_its_own() -> None:
    """Attempts, the time of each, and the time of all of them."""
    attempts = 0

    def fail(request: httpx.Request) -> httpx.Response:
        nonlocal attempts
        attempts += 1
        raise httpx.ConnectTimeout("no")

    async with answering(fail) as lsq:
        with pytest.raises(Timeout):
            await lsq.with_options(retry=RetryPolicy(attempts=2, base=0.0)).request("GET", "/x")
        assert attempts == 2
        patient = lsq.with_options(retry=RetryPolicy(base=10.0, cap=10.0))
        with pytest.raises(DeadlineExceeded):
            await patient.request("GET", "/x", deadline=0.05)


# resources


def test_a_resource_is_of_its_client() -> None:
    """It works on a client, is a class on the class, and cannot be replaced."""
    lsq = answering(lambda request: httpx.Response(200))
    assert LeadSquared.leads is Leads
    assert isinstance(lsq.leads, Leads)
    with pytest.raises(AttributeError):
        lsq.leads = Leads  # type: ignore[misc,assignment]


def test_a_double_of_the_client_has_its_methods() -> None:
    """`create_autospec` knows the resources, so that a test cannot call what is not there."""
    double = create_autospec(LeadSquared, instance=True)
    with pytest.raises(AttributeError):
        _ = double.leads.captured
    with pytest.raises(TypeError):
        double.leads.capture({}, unknown=True)
