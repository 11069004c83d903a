"""`verify`: checks of an account with read-only calls."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    Forbidden,
    LeadSquared,
    RetryPolicy,
)
from leadsquared_async.client import parts_of
from leadsquared_async.resources.account_report import examine
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import KEYS, answering, virtual_client

METRICS = {"PendingMessages": 3, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 24.8}
USER = {
    "Id": "u1",
    "Name": "Planted Name",
    "EmailAddress": "planted@example.com",
    "LSQCommonServiceURLs": {"api": "api-in21.leadsquared.com", "app": "in21.leadsquared.com"},
}
EMAIL = {"SchemaName": "EmailAddress", "DisplayName": "Email", "DataType": "Email"}
FIELDS = [{"SchemaName": "mx_City", "DisplayName": "City", "DataType": "Text"}, EMAIL]
PATHS = {
    "/lead/capture/metrics": METRICS,
    "/v2/Authentication.svc/UserByAccessKey.Get": USER,
    "/v2/LeadManagement.svc/LeadsMetaData.Get": FIELDS,
}


def client_of(region: str | None = "in21", sync: bool = True, **answers: Any) -> LeadSquared:
    """A client whose calls are answered well, but for those of `metrics`, `user` or `fields` given."""
    named = dict(zip(("metrics", "user", "fields"), PATHS, strict=True))
    instead = {named[name]: answer for name, answer in answers.items()}

    def answer(request: httpx.Request) -> httpx.Response:
        given = instead.get(request.url.path, PATHS[request.url.path])
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    options: dict[str, Any] = {"retry": RetryPolicy(attempts=1)}
    if region is not None:
        return LeadSquared(**KEYS, region=region, transport=httpx.MockTransport(answer), **options)
    return answering(answer, **options, **({"sync_host": "https://sync.invalid"} if sync else {}))


def mx(status: int, kind: str, message: str) -> httpx.Response:
    return httpx.Response(
        status, json={"Status": "Error", "ExceptionType": kind, "ExceptionMessage": message}
    )


async def test_all_is_well() -> None:
    """Every check is ok; the report shows nothing of the user; nothing was posted."""
    async with client_of() as lsq:
        report = await lsq.verify(fields=["mx_City"])
    assert report.succeeded
    assert [check.name for check in report.checks] == ["x-api-key", "keys", "region", "fields"]
    assert "in21" in str(report)
    assert "Planted" not in f"{report} {report!r}"


async def test_without_fields_none_are_asked_for() -> None:
    """The other checks take two calls."""
    async with client_of(fields=httpx.Response(500)) as lsq:
        assert len((await lsq.verify()).checks) == 3


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ({"metrics": httpx.Response(403, json={"message": "Forbidden"})}, Forbidden, "x-api-key"),
        ({"user": mx(401, "MXUnAuthorizedAccessException", "no")}, AuthenticationFailed, "keys"),
        (
            {"user": mx(401, "MXUnAuthorizedAccessException", "Please use api-us11.leadsquared.com")},
            AuthenticationFailed,
            r"names api-us11\.leadsquared\.com",
        ),
        (
            {"user": {"LSQCommonServiceURLs": {"api": "https://api-us11.leadsquared.com/v2/"}}},
            ConfigurationError,
            'region="us11"',
        ),
        (
            {"fields": [EMAIL, {"SchemaName": "mx_Cty"}]},
            ConfigurationError,
            r"mx_City \(did you mean mx_Cty\?\)",
        ),
    ],
)
async def test_what_needs_fixing_is_raised(answers: Any, error: type[Exception], words: str) -> None:
    """`verify` raises what the account's owner has to fix; `examined` reports it."""
    async with client_of(**answers) as lsq:
        with pytest.raises(error, match=words) as caught:
            await lsq.verify(fields=["mx_City"])
        assert caught.value.fault == "account"  # type: ignore[attr-defined]
        report = await examine(parts_of(lsq), ["mx_City"])
    assert not report.succeeded
    assert [check.verdict for check in report.checks].count("wrong") == 1


NO_PATH = httpx.Response(403, json={"message": "Missing Authentication Token"})


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        *((name, httpx.Response(503), "503") for name in ("metrics", "user", "fields")),
        ("fields", [{"SchemaName": "FirstName"}], "neither EmailAddress nor Phone"),  # no account's list
        ("metrics", NO_PATH, "not at the path"),  # it is inferred, so that says nothing of the keys
    ],
)
async def test_an_error_that_is_not_the_accounts_is_in_the_report(name: str, answer: Any, words: str) -> None:
    """The check is "unknown", and a program may still start."""
    async with client_of(**{name: answer}) as lsq:
        report = await lsq.verify(fields=["mx_City"])
    assert not report.succeeded
    (unknown,) = [check for check in report.checks if check.verdict != "ok"]
    assert unknown.verdict == "unknown"
    assert words in unknown.detail


async def test_one_string_is_not_taken_for_its_letters() -> None:
    """One string instead of a list is rejected before any call."""
    async with client_of() as lsq:
        with pytest.raises(ConfigurationError, match=r"fields must be a list .* not one string"):
            await lsq.verify(fields="mx_City")
        with pytest.raises(ConfigurationError, match="fields must be a list"):
            await lsq.verify(fields=True)  # type: ignore[arg-type]


async def test_a_report_without_a_synchronous_host_says_so() -> None:
    """Keys and fields are not checked, and the report says how to enable that."""
    async with client_of(region=None, sync=False) as lsq:
        report = await lsq.verify(fields=["mx_City"])
    assert [check.verdict for check in report.checks] == ["ok", "unknown", "unknown"]
    assert str(report).count("pass region= or sync_host=") == 2


@pytest.mark.parametrize(
    ("user", "verdict"),
    [
        ({}, "unknown"),
        (None, "unknown"),
        ({"LSQCommonServiceURLs": {"api": 7}}, "unknown"),
        ({"lsqcommonserviceurls": {"API": "api-in21.leadsquared.com"}}, "ok"),
        ({"LSQCommonServiceURLs": {"api": "api-xy99.leadsquared.com"}}, "unknown"),
        ({"LSQCommonServiceURLs": {"api": "http://[::bad"}}, "unknown"),
    ],
)
async def test_a_region_is_read_in_whatever_spelling(user: Any, verdict: str) -> None:
    """A fact that is missing from the answer is "unknown", never "wrong"."""
    async with client_of(user=user) as lsq:
        report = await lsq.verify()
    assert {check.name: check.verdict for check in report.checks}["region"] == verdict


def test_a_sandbox_verifies() -> None:
    """The sandbox answers all three calls, with the account's fields."""

    async def use() -> Any:
        lsq, transport = virtual_client(Account(attributes="account"))
        async with lsq:
            report = await lsq.verify(fields=["mx_City", "EmailAddress"])
        assert not transport.books.misplaced_keys
        return {check.name: check.verdict for check in report.checks}

    verdicts = virtual.run(use)
    assert verdicts.pop("region") in {"ok", "unknown"}
    assert set(verdicts.values()) == {"ok"}


async def test_a_client_that_is_not_open_verifies_nothing() -> None:
    """`verify` raises an error instead of returning a report."""
    with pytest.raises(ClientClosed):
        await client_of().verify()


def test_a_deadline_bounds_the_question_for_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The deadline ends each call of `verify`; the error does not mention leads."""

    async def main() -> None:
        lsq, transport = virtual_client(Account(faults=Faults(operations=("fields",), script=("hang",))))
        clock = asyncio.get_running_loop().time
        async with lsq:
            began = clock()
            report = await lsq.with_options(deadline=2).verify(fields=["mx_City"])
            assert clock() - began < 7
            assert {check.name: check.verdict for check in report.checks}["fields"] == "unknown"
            assert "no answer within 2 s" in str(report)
            transport.books.faults = Faults()
            with pytest.raises(DeadlineExceeded, match="within 1 s"):
                await lsq.with_options(deadline=1).fields.list()  # the first question is still out

    virtual.run(main)
    assert "leads are sent" not in caplog.text
