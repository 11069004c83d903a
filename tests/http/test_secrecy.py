"""No key and no personal value appears in messages, logs, spans, tracebacks or warnings."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    APIError,
    DeadlineExceeded,
    InvalidLead,
    LeadSquared,
    LeadSquaredError,
    RateLimit,
    Rejected,
    RetryPolicy,
    Timeout,
    batch,
)
from leadsquared_async.sandbox import FAULTS, Faults, Sandbox
from tests.clients import KEYS, answering, client_of
from tests.http.proxies import running_server
from tests.leaks import (
    ECHO,
    PERSON,
    assert_no_key,
    assert_nothing_secret,
    echo_server,
    failure,
    forwarding_proxy,
    shown,
    watching,
)

QUICK: dict[str, Any] = {
    "retry": RetryPolicy(attempts=2, base=0.001),
    "rate_limit": RateLimit(25, per=0.05),
    "timeout": 0.5,
}


def mx(status: int, kind: str = "MXEchoException", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"ExceptionType": kind, "ExceptionMessage": ECHO}, headers=headers)


def gateway(status: int, message: str = ECHO) -> httpx.Response:
    return httpx.Response(status, json={"message": message, "echo": ECHO})


def raising(kind: Callable[[str], Exception]) -> Callable[[httpx.Request], httpx.Response]:
    """A transport whose errors show the whole address, as some do."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise kind(f"cannot reach {request.url} with {dict(request.headers)}")

    return answer


ANSWERS: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "accepted": lambda request: httpx.Response(200, json={"RequestID": "3f0c2c4e", "Status": ECHO}),
    "MX under 500": lambda request: mx(500),
    "MX under 200": lambda request: mx(200),
    "MX under 400": lambda request: mx(400),
    "MX about authentication": lambda request: mx(200, "MXAuthenticationFailedException"),
    "rate limit": lambda request: mx(429, "MXAPIRateLimitExceededException"),
    "rate limit under 403": lambda request: mx(403, "MXAPIRateLimitExceededException"),
    "Retry-After": lambda request: mx(429, **{"Retry-After": "3000"}),
    "day's quota": lambda request: gateway(429, "Limit Exceeded"),
    "400": lambda request: gateway(400),
    "401": lambda request: mx(401, "MXUnAuthorizedAccessException"),
    "401 with host": lambda request: gateway(401, f"use asyncapi-us11.leadsquared.com {ECHO}"),
    "403": lambda request: gateway(403),
    "403 without path": lambda request: gateway(403, "Missing Authentication Token"),
    "404": lambda request: gateway(404),
    "408": lambda request: gateway(408),
    "413": lambda request: gateway(413),
    "415": lambda request: gateway(415),
    "418": lambda request: gateway(418),
    "500": lambda request: gateway(500),
    "502": lambda request: gateway(502),
    "503": lambda request: gateway(503),
    "504": lambda request: gateway(504),
    "no RequestID": lambda request: gateway(200),
    "not JSON": lambda request: httpx.Response(200, text=ECHO),
    "huge": lambda request: httpx.Response(200, text=ECHO * 5000),
    "escaped JSON": lambda request: httpx.Response(500, text=mx(500).text.replace("$", "\\u0024")),
    "lower-case escapes": lambda request: gateway(400, str(request.url).lower()),
    "several lines": lambda request: gateway(400, ECHO.replace(" ", "\n")),
    "redirect": lambda request: httpx.Response(
        307, headers={"Location": f"https://elsewhere.invalid/lead/capture?{request.url.query.decode()}"}
    ),
    "redirect to a user": lambda request: httpx.Response(
        302, headers={"Location": f"https://{PERSON['EmailAddress']}/"}
    ),
    "redirect to nowhere": lambda request: httpx.Response(301, headers={"Location": f"https://[{ECHO}"}),
    "refused": raising(httpx.ConnectError),
    "connect timeout": raising(httpx.ConnectTimeout),
    "read error": raising(httpx.ReadError),
    "read timeout": raising(httpx.ReadTimeout),
    "protocol error": raising(httpx.RemoteProtocolError),
    "proxy error": raising(httpx.ProxyError),
    "OSError": raising(OSError),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_makes_a_key_or_a_person_show(
    answer: Callable[[httpx.Request], httpx.Response], capfd: pytest.CaptureFixture[str]
) -> None:
    """Only `error.body` holds personal values, whatever LeadSquared answers or repeats."""
    async with watching() as watch, answering(answer, **QUICK) as lsq:
        call = lsq.leads.capture(PERSON, reference="form-7", deadline=1.0)
        error = await failure(call)
        if error is None:
            assert answer is ANSWERS["accepted"]
        else:
            assert isinstance(error, LeadSquaredError)
            assert_nothing_secret(shown(error))
        if isinstance(error, APIError):
            assert_no_key(f"{error.body} {error.exception_message}")
    watch.assert_nothing_secret()
    assert "leadsquared.calls" in watch.metrics
    assert_nothing_secret("".join(capfd.readouterr()))
    assert "asyncio" in watch.loggers or isinstance(error, LeadSquaredError)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_a_batch_shows_nothing_of_its_leads(
    answer: Callable[[httpx.Request], httpx.Response],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results, their errors, raised errors and log lines show no value."""
    monkeypatch.setattr(batch, "GRACE", 0.1)
    leads: list[Any] = [PERSON, {**PERSON, "Phone": ["+91-9988776655"]}, {PERSON["Phone"]: {}}, PERSON]
    async with watching() as watch, answering(answer, **QUICK) as lsq:
        seen: list[Any] = []
        # An account that is over its limit for good keeps a batch waiting for good.
        many = lsq.leads.capture_many(leads, concurrency=3)
        raised = await failure(asyncio.wait_for(_take(many, seen), 0.5))
        async with lsq.leads.capture_many(leads):
            await asyncio.sleep(0.02)
        assert_nothing_secret(f"{seen!r} {many!r}")
        ids: list[Any] = ["3f0c2c4e", PERSON, "3f0c2c4e"]  # rows in place of their ids
        many = lsq.leads.wait_many(ids, deadline=0.2)
        raised_too = await failure(_take(many, seen))
    errors = [
        error for error in (raised, raised_too, *(result.error for result in seen)) if error is not None
    ]
    assert any(isinstance(error, InvalidLead) for error in errors)
    for error in errors:
        assert isinstance(error, LeadSquaredError | TimeoutError)
        assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()
    assert_nothing_secret("".join(capfd.readouterr()))


async def _take(results: Any, seen: list[Any]) -> None:
    async with results:
        async for result in results:
            seen.append(result)  # noqa: PERF401


async def test_an_error_of_the_source_shows_no_lead_before_it() -> None:
    """Our frames in its traceback hold no earlier lead."""

    class Rows:
        def __init__(self) -> None:
            self.rows = iter([PERSON, PERSON])

        def __repr__(self) -> str:
            return f"Rows({list(PERSON.values())})"

        def __aiter__(self) -> Rows:
            return self

        async def __anext__(self) -> dict[str, str]:
            return self._next()

        def _next(self) -> dict[str, str]:
            for row in self.rows:
                return row
            raise ZeroDivisionError

        def __iter__(self) -> Iterator[dict[str, str]]:
            yield from self.rows
            raise ZeroDivisionError

    async with watching() as watch, answering(ANSWERS["accepted"], **QUICK) as lsq:
        for source in (Rows(), _Plain(Rows())):
            error = await failure(_take(lsq.leads.capture_many(source), []))
            assert isinstance(error, ZeroDivisionError)
            assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()


class _Plain:
    """The same, for `for` only."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        return repr(self.rows)

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter(self.rows)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "refused"])
async def test_no_fault_on_the_wire_makes_a_key_or_a_person_show(fault: str) -> None:
    """The same holds over a real socket, with all loggers at DEBUG and requests instrumented."""
    async with watching() as watch, Sandbox(limit=None) as sandbox:
        sandbox.books.faults = Faults(probabilities={fault: 1.0}, drip=0.001)
        async with client_of(sandbox, **{**QUICK, "timeout": 0.5}) as lsq:
            error = await failure(lsq.leads.capture(PERSON, deadline=3.0))
            sandbox.books.faults = Faults()
            if fault != "429":  # whose message slows the client down
                receipt = await lsq.leads.capture(PERSON)
                await lsq.leads.status(receipt.request_id)
                await lsq.leads.metrics()
        if error is not None:
            assert_nothing_secret(shown(error))
        assert list(sandbox.books.misplaced_keys) == []
    watch.assert_nothing_secret()
    assert {"httpcore.http11", "httpcore.connection", "asyncio"} <= watch.loggers
    assert watch.tracers == {"leadsquared_async"}  # and none of httpx, which would show the address


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize("status", [307, 401, 403, 500])
async def test_a_server_that_repeats_everything_is_masked_in_logs_and_errors(
    status: int, through_proxy: bool
) -> None:
    """Keys and person that its status line, headers and body repeat show in no log and no error."""
    async with watching() as watch, echo_server(status) as (url, received):
        transport = httpx.AsyncHTTPTransport(proxy=url) if through_proxy else httpx.AsyncHTTPTransport()
        host = "http://127.0.0.1:9" if through_proxy else url
        async with transport, LeadSquared(**KEYS, host=host, transport=transport, **QUICK) as lsq:
            error = await failure(
                lsq.request(
                    "POST",
                    "/lead/capture",
                    query={"contact": PERSON["EmailAddress"], "tel": PERSON["Phone"], "who": "Bartholomew"},
                    json=[{"Attribute": name, "Value": value} for name, value in PERSON.items()],
                    deadline=1.0,
                )
            )
    assert isinstance(error, APIError)
    assert_nothing_secret(shown(error))
    assert_no_key(f"{error.body} {error.exception_message}")
    watch.assert_nothing_secret()
    assert any("receive_response_headers.complete" in line for line in watch.lines)
    assert watch.tracers == {"leadsquared_async"}  # and none of httpx, which would show the address
    assert received
    assert all(b"accesskey=u%24r" in head.lower() for head in received)


AWKWARD = ("Žofie Dvořáková", 'O\'Brien "Bob" Sekretov', "D'Arcy-Planted")


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize("around", ["", "'", '"', "'\""])
async def test_a_value_that_a_header_repeats_is_masked_however_it_is_logged(value: str, around: str) -> None:
    """httpcore logs headers as the repr of bytes, whose escapes depend on the quotes around the value."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"]")
        writer.write(f"HTTP/1.1 400 No\r\nX-Echo: {around}{value}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async with (
        watching() as watch,
        running_server(repeat) as port,
        LeadSquared(**KEYS, host=f"http://127.0.0.1:{port}", **QUICK) as lsq,
    ):
        await failure(lsq.leads.capture({"FirstName": value}, deadline=1.0))
    headers = [line for line in watch.lines if "receive_response_headers.complete" in line]
    assert any("X-Echo" in line for line in headers)
    for part in value.split():
        form = repr(part.strip('"').encode())[2:-1]
        assert not [line for line in headers if form in line]


async def test_a_proxy_passes_the_keys_on_and_nothing_shows(sandbox: Sandbox) -> None:
    """Through an HTTP proxy calls succeed, the keys reach their own host only, and logs stay clean."""
    async with watching() as watch, forwarding_proxy() as (proxy, received):
        transport = httpx.AsyncHTTPTransport(proxy=proxy)
        async with transport, client_of(sandbox, transport=transport, **QUICK) as lsq:
            receipt = await lsq.leads.capture(PERSON)
            await lsq.leads.status(receipt.request_id)
    assert len(received) == 2
    assert list(sandbox.books.misplaced_keys) == []
    watch.assert_nothing_secret()


async def test_status_and_metrics_carry_the_api_key_only() -> None:
    """What needs the x-api-key alone carries no other key, and no call carries one elsewhere."""
    seen: dict[str, httpx.Request] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.path] = request
        metrics = {"PendingMessages": 1, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 24.8}
        return httpx.Response(
            200, json={"RequestID": "3f0c2c4e", "TaskStatus": {"Status": "Success"}, **metrics}
        )

    async with answering(answer) as lsq:
        await lsq.leads.capture(PERSON)
        await lsq.leads.status("3f0c2c4e")
        await lsq.leads.metrics()
    assert set(seen) == {"/lead/capture", "/lead/status", "/lead/capture/metrics"}
    for path, request in seen.items():
        assert request.url.host == "sandbox.invalid"
        assert request.headers.get_list("x-api-key") == [KEYS["api_key"]]
        given = {name: request.url.params.get(name) for name in ("accessKey", "secretKey")}
        wanted = {"accessKey": KEYS["access_key"], "secretKey": KEYS["secret_key"]}
        assert given == (wanted if path == "/lead/capture" else dict.fromkeys(wanted))


async def test_the_watch_finds_keys_of_a_plain_httpx_call(sandbox: Sandbox) -> None:
    """The test can fail: a plain httpx call is exported and logged with its keys."""
    async with watching() as watch, httpx.AsyncClient() as plain:
        await plain.get(f"{sandbox.url}/lead/status", params={"secretKey": KEYS["secret_key"]})
    for text in (watch.spans, "\n".join(watch.lines)):
        with pytest.raises(AssertionError, match="shows in"):
            assert_no_key(text)


async def test_a_timeout_a_deadline_and_a_cancellation_show_nothing(sandbox: Sandbox) -> None:
    """Tracebacks and logs of a call that is cut short hold nothing of the lead."""
    sandbox.books.faults = Faults(probabilities={"hang": 1.0})
    async with watching() as watch, client_of(sandbox, **{**QUICK, "timeout": 0.1}) as lsq:
        timed_out = await failure(lsq.leads.capture(PERSON))
        late = await failure(lsq.leads.capture(PERSON, deadline=0.15))
        waited_for = await failure(asyncio.wait_for(lsq.leads.capture(PERSON), 0.05))
        task = asyncio.create_task(lsq.leads.capture(PERSON, reference="form-7"))
        await asyncio.sleep(0.05)
        task.cancel()
        cancelled = await failure(task)
        closed = asyncio.create_task(lsq.leads.capture(PERSON))
        await asyncio.sleep(0.05)
        await lsq.aclose(grace=0.01)
        broken_off = await failure(closed)
    assert isinstance(timed_out, Timeout)
    assert isinstance(late, DeadlineExceeded)
    assert isinstance(waited_for, TimeoutError)
    assert isinstance(cancelled, asyncio.CancelledError)
    for error in (timed_out, late, waited_for, cancelled, broken_off):
        assert error is not None
        assert_nothing_secret(shown(error))
    assert any("dead_letter" in line for line in watch.lines)
    watch.assert_nothing_secret()


async def test_the_person_can_be_reached_by_name() -> None:
    """`body` and `exception_message` have LeadSquared's words, without the keys."""
    async with answering(ANSWERS["MX under 500"]) as lsq:
        with pytest.raises(Rejected) as caught:
            await lsq.leads.capture(PERSON)
    assert PERSON["EmailAddress"] in str(caught.value.body)
    assert PERSON["EmailAddress"] in str(caught.value.exception_message)


def sentry(*arguments: str) -> str:
    """What Sentry sends of `sentry_program`."""
    command = [sys.executable, "-m", "tests.http.sentry_program", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


@pytest.mark.slow
def test_sentry_gets_no_key_and_no_person(tmp_path: Path) -> None:
    """Errors with the variables of their frames, breadcrumbs, log records and transactions hold none."""
    sent = sentry("main", str(tmp_path / "leads.db"))
    assert_nothing_secret(sent)
    for word in ("leadsquared_async/http/run.py", '"vars"', '"breadcrumbs"', '"transaction"', "Duplicate"):
        assert word in sent


@pytest.mark.slow
def test_sentry_gets_the_keys_of_a_plain_httpx_call() -> None:
    """The test can fail: an error around a plain httpx call is sent with its keys."""
    with pytest.raises(AssertionError, match="shows in"):
        assert_no_key(sentry("plain"))
