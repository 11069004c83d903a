"""Objects, constructors and frames of the package show no key and no personal value."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import FunctionType, MethodType, ModuleType
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    ConfigurationError,
    ConnectionFailed,
    Credentials,
    InvalidLead,
    Lane,
    LeadSquared,
    Rejected,
    RetryPolicy,
    Secret,
    StillProcessing,
)
from leadsquared_async.encoding import encode
from leadsquared_async.http.call import Call
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import ExpectedBody, Reply, classify
from leadsquared_async.sandbox import Account, Sandbox
from leadsquared_async.submissions import capture_lead
from tests import virtual
from tests.clients import KEYS, answering, client_of, virtual_client
from tests.leaks import ECHO, PERSON, assert_nothing_secret, failure, shown, watching

CREDENTIALS = Credentials(**KEYS)
HOST = "https://sandbox.invalid"
ONCE = RetryPolicy(attempts=1)
CALL = Call(
    operation="leads.capture",
    method="POST",
    path="/lead/capture",
    query=(("contact", PERSON["EmailAddress"]),),
    content=json.dumps([ECHO, *PERSON.values()]).encode(),
    repeat=Idempotency.MATCHED,
    lane=Lane.BATCH,
)
REPLY = Reply(500, {"x-echo": ECHO}, f'{{"ExceptionType": "MXEcho", "ExceptionMessage": "{ECHO}"}}')

OBJECTS: dict[str, Callable[[], object]] = {
    "LeadSquared": lambda: LeadSquared(**KEYS, host=HOST),
    "a copy": lambda: LeadSquared(**KEYS, host=HOST, name="shop").with_options(deadline=1.0),
    "Session": lambda: LeadSquared(**KEYS, host=HOST)._session,
    "Options": lambda: LeadSquared(**KEYS, host=HOST)._session.options,
    "leads": lambda: LeadSquared(**KEYS, host=HOST).leads,
    "Credentials": lambda: CREDENTIALS,
    "Secret": lambda: CREDENTIALS.secret_key,
    "Call": lambda: CALL,
    "Reply": lambda: REPLY,
    "Outcome": lambda: classify(REPLY, ExpectedBody.REQUEST_ID, datetime(2026, 1, 1, tzinfo=UTC)),
    "EncodedSubmission": lambda: encode(capture_lead(PERSON)),
}


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_nothing_that_is_printed_shows_a_key_or_a_person(make: Callable[[], object]) -> None:
    """repr, str, format and pprint of all objects show none."""
    it = make()
    assert_nothing_secret(f"{it!r} {it!s} {it} {pprint.pformat(it)} {pprint.pformat([it])}")


async def test_nothing_an_open_client_holds_shows_a_key_or_a_person() -> None:
    """Parts of an open client, receipts, statuses, snapshots and tasks show none."""
    status = {
        "TaskStatus": {
            "TaskType": "Lead Capture",
            "Status": "ERROR",
            "StatusReason": ECHO,
            "RequestBody": ECHO,
            "Message": ECHO,
        }
    }
    gate = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/lead/status":
            return httpx.Response(200, json=status)
        await gate.wait()
        return httpx.Response(200, json={"RequestID": "3f0c2c4e", "echo": ECHO})

    async with answering(answer) as lsq:
        calling = asyncio.create_task(lsq.leads.capture(PERSON, reference="form-7"))
        await asyncio.sleep(0.01)
        tasks = [repr(task) for task in asyncio.all_tasks() if "leadsquared" in task.get_name()]
        assert len(tasks) == 1
        gate.set()
        receipt = await calling
        look = await lsq.leads.status("3f0c2c4e")
        still = await failure(lsq.leads.wait("3f0c2c4e", deadline=0.05))
        session = lsq._session
        held = (lsq, lsq.snapshot(), session, session.credentials, session.transport, session.buckets)
    assert isinstance(still, StillProcessing)
    assert PERSON["EmailAddress"] in str(look.reason)
    assert_nothing_secret(shown(still))
    assert_nothing_secret(repr((*tasks, receipt, look, still.last_status, held)))


def _walked(start: object) -> list[object]:
    """All that can be reached over attributes, slots and items: what a debugger or a serialiser walks."""
    found: list[object] = []
    seen: set[int] = set()
    ahead = [start]
    while ahead:
        it = ahead.pop()
        if id(it) in seen or isinstance(it, type | ModuleType | FunctionType | MethodType | asyncio.Task):
            continue
        seen.add(id(it))
        found.append(it)
        if isinstance(it, dict):
            ahead += [*it.keys(), *it.values()]
        elif isinstance(it, list | tuple | set | frozenset | deque):
            ahead += list(it)
        else:
            ahead += vars(it).values() if hasattr(it, "__dict__") else ()
            slots = [name for kind in type(it).__mro__ for name in vars(kind).get("__slots__", ())]
            ahead += [getattr(it, name) for name in slots if hasattr(it, name)]
    return found


async def test_no_attribute_of_an_open_client_is_a_key() -> None:
    """No object that is reachable over attributes shows a key."""
    async with Sandbox() as sandbox, client_of(sandbox, validate="strict") as lsq:
        receipt = await lsq.leads.capture(PERSON)
        await lsq.leads.wait(receipt)
        await lsq.leads.metrics()
        found = _walked(lsq)
    assert len(found) > 200, "the walk has stopped reaching the connections"
    for it in found:
        text = it.decode("latin-1") if isinstance(it, bytes) else f"{it!r}"
        assert not any(key in text for key in KEYS.values()), type(it)


@pytest.mark.parametrize("take", [pickle.dumps, copy.deepcopy, dataclasses.asdict, dataclasses.astuple])
def test_keys_are_not_taken_out_by_accident(take: Callable[[Any], Any]) -> None:
    """Credentials cannot be pickled or copied into a plain structure."""
    with pytest.raises(TypeError, match="a Secret cannot be pickled") as caught:
        take(CREDENTIALS)
    assert_nothing_secret(str(caught.value))


def _raised(make: Callable[[], object]) -> BaseException:
    try:
        make()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "make",
    [
        lambda: LeadSquared(**KEYS, host="nonsense"),
        lambda: LeadSquared(**KEYS, region="xx"),
        lambda: LeadSquared(**KEYS, host=HOST, timeout=-1.0),
        lambda: LeadSquared(**KEYS, host=HOST, deadline=0.0),
        lambda: LeadSquared(**KEYS, host=HOST, bogus=1),  # type: ignore[call-arg]
        lambda: LeadSquared(**KEYS, credentials=CREDENTIALS, host=HOST),
        lambda: LeadSquared(**{**KEYS, "api_key": KEYS["api_key"] + "\n"}, host=HOST),
        lambda: Credentials(KEYS["access_key"], KEYS["secret_key"] + "\u00e9", KEYS["api_key"]),
        lambda: Credentials(KEYS["access_key"], KEYS["secret_key"] + " ", KEYS["api_key"]),
        lambda: Credentials(KEYS["access_key"], KEYS["secret_key"], ""),
        lambda: Credentials(KEYS["access_key"], KEYS["secret_key"], 7),  # type: ignore[arg-type]
    ],
)
def test_a_constructor_that_refuses_shows_no_key(make: Callable[[], object]) -> None:
    """Neither the message nor the frames of a refused client hold the keys it was given."""
    assert_nothing_secret(shown(_raised(make)))


def test_keys_of_the_environment_show_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected client shows no key that it took from the environment."""
    for name, key in KEYS.items():
        monkeypatch.setenv(f"LEADSQUARED_{name.upper()}", key)
    assert_nothing_secret(shown(_raised(lambda: LeadSquared(host="nonsense"))))


@pytest.mark.parametrize(
    "use",
    [
        lambda lsq: lsq.leads.capture({**PERSON, "Notes": b"bytes"}),
        lambda lsq: lsq.leads.capture({**PERSON, "Phone ": PERSON["Phone"]}),
        lambda lsq: lsq.leads.capture({**PERSON, PERSON["EmailAddress"]: "x"}),
        lambda lsq: lsq.leads.capture(PERSON, search_by=PERSON["EmailAddress"]),
        lambda lsq: lsq.leads.capture(PERSON, update_behavior=PERSON["EmailAddress"]),
        lambda lsq: lsq.leads.capture(PERSON, deadline=-1.0),
        lambda lsq: lsq.leads.capture(PERSON, bogus=PERSON["EmailAddress"]),
        lambda lsq: lsq.leads.capture(PERSON["EmailAddress"]),
        lambda lsq: lsq.request("POST", f"/lead?{PERSON['EmailAddress']}", json=PERSON),
        lambda lsq: lsq.request("POST", "/lead", json={"when": {PERSON["EmailAddress"]}}),
        lambda lsq: lsq.request("POST", "/lead", json=PERSON, bogus=1),
        lambda lsq: lsq.request("POST", "/lead", json=PERSON, host="sync"),
        lambda lsq: lsq.request("POST", "/lead", query={"contact": PERSON["EmailAddress"] + "\ud800"}),
        lambda lsq: lsq.request("POST", "/lead", query={"contact": [PERSON["EmailAddress"]]}),
        lambda lsq: lsq.request("POST", "/lead", json=PERSON["EmailAddress"] + "\ud800"),
    ],
)
async def test_a_call_that_is_refused_before_it_is_sent_shows_nobody(
    use: Callable[[LeadSquared], Any],
) -> None:
    """Errors and frames of invalid leads, options and arguments hold no personal value."""
    async with watching() as watch, answering(lambda request: httpx.Response(200, json={})) as lsq:
        error = await failure(use(lsq))
    assert isinstance(error, InvalidLead | ConfigurationError | TypeError)
    assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()


@pytest.mark.parametrize("kind", [OSError, KeyError, asyncio.CancelledError, TypeError])
async def test_a_credentials_callable_that_fails_shows_no_key(kind: type[BaseException]) -> None:
    """Its error is the cause, and the frames of that error are cleared."""

    async def keys() -> Credentials:
        await asyncio.sleep(0)
        raise kind("the vault is sealed")

    lsq = answering(lambda request: httpx.Response(401), **dict.fromkeys(KEYS), credentials=keys)
    async with watching() as watch, lsq:
        error = await failure(lsq.leads.capture(PERSON))
    assert isinstance(error, ConfigurationError)
    assert isinstance(error.__cause__, kind)
    assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()


@pytest.mark.parametrize("kind", [KeyError, ValueError, TypeError, ZeroDivisionError, httpx.InvalidURL])
async def test_a_bug_in_a_transport_is_raised_and_not_retried(kind: type[Exception]) -> None:
    """It raises an error of this package that names the bug's type."""
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise kind(f"{request.url} {request.headers}")

    async with watching() as watch, answering(answer) as lsq:
        error = await failure(lsq.leads.capture(PERSON))
    assert isinstance(error, ConnectionFailed)
    assert kind.__name__ in str(error)
    assert calls == 1
    assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()


@pytest.mark.parametrize(
    "call",
    [
        lambda lsq: lsq.leads.capture_many(PERSON),
        lambda lsq: lsq.leads.capture_many([PERSON], concurrency=0),
        lambda lsq: lsq.leads.wait_many(PERSON),
        lambda lsq: lsq.submit_many(PERSON),
        lambda lsq: lsq.bulk.create_or_update(PERSON),
    ],
)
async def test_a_method_that_is_not_asynchronous_clears_its_frames_too(
    call: Callable[[LeadSquared], object],
) -> None:
    """The usual mistake, one lead instead of a list, keeps no lead in the frames of its traceback."""
    async with answering(lambda request: httpx.Response(400)) as lsq:
        with pytest.raises(ConfigurationError) as caught:
            call(lsq)
    assert_nothing_secret(shown(caught.value))


async def test_what_the_caller_was_handling_keeps_its_frames() -> None:
    """Only the package's own errors are cleared, not the caller's context."""

    def fail() -> None:
        clue = "the caller's own"
        raise KeyError(len(clue))

    async with answering(lambda request: httpx.Response(400)) as lsq:
        try:
            fail()
        except KeyError as own:
            error = await failure(lsq.leads.capture(PERSON))
            frames = [frame for frame, _ in traceback.walk_tb(own.__traceback__)]
    assert error is not None
    assert isinstance(error.__context__, KeyError)
    assert frames[-1].f_locals == {"clue": "the caller's own"}


async def test_a_coroutine_of_the_callers_that_an_error_passed_keeps_running() -> None:
    """Clearing frames does not end a running coroutine of others."""
    questions: asyncio.Queue[asyncio.Future[Credentials]] = asyncio.Queue()

    async def vault() -> None:
        while True:
            future = await questions.get()
            try:
                1 / 0  # noqa: B018
            except ZeroDivisionError as error:
                future.set_exception(error)

    async def keys() -> Credentials:
        future: asyncio.Future[Credentials] = asyncio.get_running_loop().create_future()
        await questions.put(future)
        return await future

    working = asyncio.create_task(vault())
    async with answering(None, **dict.fromkeys(KEYS), credentials=keys) as lsq:
        for _ in range(3):
            assert isinstance(await failure(lsq.leads.capture(PERSON)), ConfigurationError)
    assert not working.done()
    working.cancel()


async def test_a_transport_that_names_the_address_before_it_sends_shows_no_key() -> None:
    """A connection error keeps its words, without keys and query."""

    class Talkative(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError(f"no route to {request.url}")

    async with watching() as watch, answering(None, transport=Talkative(), retry=ONCE) as lsq:
        query = {"contact": PERSON["EmailAddress"], "tel": PERSON["Phone"]}
        error = await failure(lsq.request("GET", "/lead/find", query=query))
    assert "no route to https://sandbox.invalid/lead/find" in str(error)
    assert_nothing_secret(shown(error or AssertionError()))
    watch.assert_nothing_secret()


# No part of these looks like a number or an address, of which debug lines are full.
LETTERS = {"access_key": "u$rGHJKWQZ", "secret_key": "ZYXWVUTSRQPNMK", "api_key": "KQJWZHXVGY"}


@pytest.mark.parametrize("value", ["WV", "**", "K", LETTERS["access_key"][3:9], "bret"])
async def test_a_short_value_unmasks_no_key(value: str) -> None:
    """A value that is part of a key or of another value is masked after it."""

    class Talkative(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError(f"no route to {request.url}")

    query = {"a": value, "b": "bret.lee@planted-mail.example"}
    client = answering(None, transport=Talkative(), retry=ONCE, **LETTERS)
    async with watching() as watch, client as lsq:
        errors = [await failure(lsq.leads.capture({"mx_Part": value}))]
        errors.append(await failure(lsq.request("POST", "/x", query=query)))
    assert all("no route to" in str(error) for error in errors)
    said = f"{errors} {watch.lines}"
    for key in LETTERS.values():
        assert not [key[at : at + 6] for at in range(len(key) - 5) if key[at : at + 6] in said]
    assert "lee@planted" not in said


async def test_names_of_attributes_stay_readable_in_a_request_of_ones_own() -> None:
    """Values of a body are masked, schema names are not."""

    def answer(request: httpx.Request) -> httpx.Response:
        words = f"Attribute(s) does not exist - mx_Town, for {' '.join(PERSON.values())} of 560001"
        return httpx.Response(500, json={"ExceptionType": "MXUnknown", "ExceptionMessage": words})

    body = [{"Attribute": "mx_Town", "Value": 560001}]
    body += [{"Attribute": name, "Value": value} for name, value in PERSON.items()]
    async with answering(answer) as lsq:
        with pytest.raises(Rejected, match="does not exist - mx_Town, for") as caught:
            await lsq.request("POST", "/lead/capture", json=body)
    assert_nothing_secret(str(caught.value))
    assert "560001" not in str(caught.value)


@pytest.mark.parametrize("name", ["httpcore.http11", "httpcore.http2", "hpack.hpack", "hpack.table"])
async def test_loggers_below_the_transport_are_redacted_within_an_exchange(name: str) -> None:
    """httpcore and hpack log no key of a request."""

    def answer(request: httpx.Request) -> httpx.Response:
        logging.getLogger(name).debug("sending %r %r", request.url.raw_path, request.headers.raw)
        return httpx.Response(200, json={"RequestID": "3f0c2c4e"})

    async with watching() as watch, answering(answer) as lsq:
        await lsq.leads.capture(PERSON)
    assert name in watch.loggers
    watch.assert_nothing_secret()


def test_a_secret_compares_and_hashes_without_showing() -> None:
    """A Secret is equal to another of the same value, and to nothing else."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_an_unfinished_wait_shows_nobody() -> None:
    """The polls' error chained to StillProcessing has no frame with personal values."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(processing_rate=0.01))
        async with lsq:
            receipt = await lsq.leads.capture(PERSON)
            error = await failure(lsq.leads.wait(receipt.request_id, deadline=20.0))
        assert isinstance(error, StillProcessing)
        assert_nothing_secret(shown(error))

    virtual.run(main)
