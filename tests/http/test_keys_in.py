"""`keys_in="headers"`: the access key and the secret key are in headers, and in no address."""

from __future__ import annotations

from typing import Literal

import httpx
import pytest

from leadsquared_async import AuthenticationFailed
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY
from tests.clients import LEAD, answering, client_of
from tests.http.test_secrecy import QUICK, raising
from tests.leaks import assert_nothing_secret, failure, shown, watching


@pytest.mark.parametrize("keys_in", ["query", "headers"])
async def test_calls_have_their_keys_where_the_account_takes_them(
    keys_in: Literal["query", "headers"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captures, bulk calls and lead fields work, from the argument and from the environment."""
    async with Sandbox(limit=None, bulk_limit=None, keys=keys_in) as sandbox:
        async with client_of(sandbox, keys_in=keys_in) as lsq:
            assert (await lsq.leads.wait(await lsq.leads.capture(LEAD))).succeeded
        monkeypatch.setenv("LEADSQUARED_KEYS_IN", keys_in)
        async with client_of(sandbox) as lsq:
            assert (await lsq.leads.wait(await lsq.leads.capture(LEAD))).succeeded
            assert await lsq.fields.list()
            async with lsq.bulk.create_or_update([LEAD]) as results:
                assert [result.ok async for result in results] == [True]
        assert sandbox.books.misplaced_keys == []
        other: Literal["query", "headers"] = "headers" if keys_in == "query" else "query"
        async with client_of(sandbox, keys_in=other) as lsq:
            with pytest.raises(AuthenticationFailed):
                await lsq.leads.capture(LEAD)


async def test_status_calls_have_the_api_key_only() -> None:
    """The option concerns the calls that need all keys; the address never has one."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"RequestID": "x", "TaskStatus": {"Status": "Success"}})

    async with answering(answer, keys_in="headers") as lsq:
        await lsq.leads.status(await lsq.leads.capture(LEAD))
    submitted, polled = (dict(request.headers) for request in seen)
    assert (submitted["x-lsq-accesskey"], submitted["x-lsq-secretkey"]) == (ACCESS_KEY, SECRET_KEY)
    assert submitted["x-api-key"] == polled["x-api-key"] == API_KEY
    assert not [name for name in polled if name.startswith("x-lsq")]
    assert [request.url.query for request in seen] == [b"", b"RequestID=x"]


async def test_a_transport_that_repeats_the_headers_shows_no_key(capfd: pytest.CaptureFixture[str]) -> None:
    """Errors with their tracebacks, logs, spans and output are searched for every key."""
    async with watching() as watch, answering(raising(httpx.ConnectError), keys_in="headers", **QUICK) as lsq:
        error = await failure(lsq.leads.capture(LEAD, deadline=1.0))
    assert error is not None
    assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()
    assert_nothing_secret("".join(capfd.readouterr()))
