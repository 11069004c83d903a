"""A credentials callable is called once, and again after a 401."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    AuthenticationFailed,
    ConfigurationError,
    Credentials,
    DeadlineExceeded,
    Delivery,
    Fault,
    LeadSquared,
    RateLimit,
    RetryPolicy,
)
from leadsquared_async.sandbox import Account, most_in_any_window
from tests import virtual
from tests.clients import KEYS, LEAD, answering, virtual_client

ACCEPTED = {"RequestID": "3f0c2c4e-0000-4000-8000-000000000000"}
REFUSED = {"ExceptionType": "MXUnAuthorizedAccessException", "ExceptionMessage": "Invalid AccessKey"}
OLD = Credentials("u$rold", "old-secret", "old-api-key")
NEW = Credentials("u$rnew", "new-secret", "new-api-key")


class Vault:
    """Returns its answers one after the other, the last for ever, and counts the questions."""

    def __init__(self, *answers: Any, seconds: float = 0.01) -> None:
        self.asked = 0
        self._answers = answers
        self._seconds = seconds

    async def __call__(self) -> Any:
        self.asked += 1
        answer = self._answers[min(self.asked, len(self._answers)) - 1]
        await asyncio.sleep(self._seconds)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def only(credentials: Credentials) -> Callable[[httpx.Request], httpx.Response]:
    """A server that knows one set of keys."""

    def answer(request: httpx.Request) -> httpx.Response:
        known = request.url.params["secretKey"] == credentials.secret_key.reveal()
        return httpx.Response(200, json=ACCEPTED) if known else httpx.Response(401, json=REFUSED)

    return answer


def asking(vault: Callable[[], Awaitable[Any]], handler: Any = None, **options: Any) -> LeadSquared:
    """A client that asks a callable for its keys."""
    return answering(handler or only(NEW), **dict.fromkeys(KEYS), credentials=vault, **options)


async def test_many_first_calls_ask_once() -> None:
    """Simultaneous calls share one call of the callable, and later calls make none."""
    vault = Vault(NEW)
    async with asking(vault) as lsq:
        await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(20)))
        await lsq.leads.capture(LEAD)
    assert vault.asked == 1


async def test_keys_are_asked_for_at_first_use_only() -> None:
    """A client that sends nothing does not call it."""
    vault = Vault(NEW)
    async with asking(vault):
        await asyncio.sleep(0.02)
    assert vault.asked == 0


async def test_after_a_401_rotated_keys_are_asked_for_and_the_calls_go_on() -> None:
    """Calls rejected at the same moment share one more call of it, and succeed with the new keys."""
    vault = Vault(OLD, NEW)
    async with asking(vault, retry=RetryPolicy(base=0.01)) as lsq:
        receipts = await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(10)))
    assert vault.asked == 2
    assert {receipt.attempts for receipt in receipts} == {2}


async def test_a_401_with_the_same_keys_again_is_final() -> None:
    """The call fails after one attempt if the callable returns the same keys."""
    vault = Vault(OLD)
    async with asking(vault) as lsq:
        with pytest.raises(AuthenticationFailed) as caught:
            await lsq.leads.capture(LEAD)
    assert (caught.value.attempts, caught.value.delivery, vault.asked) == (1, Delivery.REJECTED, 2)


async def test_keys_that_are_refused_for_ever_are_asked_for_once_a_call() -> None:
    """A call fails if the new keys are rejected as well."""
    vault = Vault(OLD, Credentials("u$rother", "other-secret", "other-api-key"))
    async with asking(vault, retry=RetryPolicy(base=0.01)) as lsq:
        with pytest.raises(AuthenticationFailed) as caught:
            await lsq.leads.capture(LEAD)
    assert (caught.value.attempts, vault.asked) == (2, 2)


async def test_fixed_keys_are_never_asked_for() -> None:
    """A 401 with fixed keys is final at once."""
    async with answering(only(NEW)) as lsq:
        with pytest.raises(AuthenticationFailed) as caught:
            await lsq.leads.capture(LEAD)
    assert caught.value.attempts == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError("vault is sealed"), "failed with OSError"),
        (asyncio.CancelledError(), "failed with CancelledError"),
        (None, "must return Credentials, not NoneType"),
        ({"access_key": "u$r"}, "must return Credentials, not dict"),
        (("a", "b", "c"), "must return Credentials, not tuple"),
    ],
    ids=["raises", "cancelled", "None", "dict", "tuple"],
)
async def test_a_callable_that_fails_is_named_and_asked_again_by_the_next_call(
    answer: Any, words: str
) -> None:
    """Each caller gets an error of its own with fault ACCOUNT, not sent, and the next call tries again."""
    vault = Vault(answer, NEW)
    async with asking(vault, name="shop") as lsq:
        calls = [lsq.leads.capture(LEAD, reference=str(number)) for number in range(3)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        for number, error in enumerate(errors):
            assert isinstance(error, ConfigurationError)
            assert str(error) == f"[shop] leads.capture: the credentials callable {words}"
            assert (error.fault, error.delivery) == (Fault.ACCOUNT, Delivery.NOT_SENT)
            assert (error.operation, error.reference) == ("leads.capture", str(number))
        await lsq.leads.capture(LEAD)
    assert vault.asked == 2


async def test_a_callable_that_is_not_async_is_an_error_of_ours() -> None:
    """A plain function that returns Credentials raises ConfigurationError, which names a TypeError."""
    async with asking(lambda: NEW) as lsq:  # type: ignore[arg-type,return-value]
        with pytest.raises(ConfigurationError, match="the credentials callable failed with TypeError"):
            await lsq.leads.capture(LEAD)


async def test_a_callable_that_fails_after_a_401_does_not_hide_what_may_have_arrived() -> None:
    """The error states an unknown delivery if an earlier attempt may have arrived."""
    answers = iter((httpx.Response(503), httpx.Response(401, json=REFUSED)))
    vault = Vault(OLD, OSError("vault is sealed"))
    async with asking(vault, lambda request: next(answers), retry=RetryPolicy(base=0.01)) as lsq:
        with pytest.raises(ConfigurationError, match="failed with OSError") as caught:
            await lsq.leads.capture(LEAD)
    assert (caught.value.delivery, caught.value.attempts) == (Delivery.UNKNOWN, 2)


def test_a_callable_that_hangs_ends_at_the_deadline() -> None:
    """The call's deadline bounds the wait for keys, and the error names that wait."""

    async def main() -> None:
        account = Account()
        lsq, _ = virtual_client(
            account, **dict.fromkeys(KEYS), credentials=Vault(NEW, seconds=1e6), deadline=9.0
        )
        async with lsq:
            start = asyncio.get_running_loop().time()
            with pytest.raises(
                DeadlineExceeded, match=r"while waiting for the credentials callable\. Not sent"
            ):
                await lsq.leads.capture(LEAD)
            assert asyncio.get_running_loop().time() - start == pytest.approx(9.0, abs=0.01)
        assert not account.arrivals
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual.run(main)


def test_a_callable_that_hangs_after_a_401_ends_at_the_deadline() -> None:
    """The call fails with the 401."""

    asked = 0

    async def vault() -> Credentials:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.sleep(1e6)
        return OLD

    async def main() -> None:
        async with asking(vault, deadline=9.0) as lsq:
            with pytest.raises(AuthenticationFailed) as caught:
                await lsq.leads.capture(LEAD)
            assert (caught.value.delivery, caught.value.attempts) == (Delivery.REJECTED, 1)

    virtual.run(main)


def test_a_callable_that_ignores_its_cancellation_does_not_keep_the_client_open() -> None:
    """Closing waits one second for it."""

    async def stubborn() -> Credentials:
        for _ in range(60):
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                continue
        return NEW

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        async with asking(stubborn) as lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0.1)
            start = clock()
        assert clock() - start < 1.1
        await asyncio.gather(call, return_exceptions=True)

    virtual.run(main)


async def test_a_caller_that_leaves_does_not_take_the_keys_from_the_others() -> None:
    """The callable keeps running for the other callers."""
    vault = Vault(NEW, seconds=0.05)
    async with asking(vault) as lsq:
        first = asyncio.create_task(lsq.leads.capture(LEAD))
        second = asyncio.create_task(lsq.leads.capture(LEAD))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).attempts == 1
    assert (vault.asked, first.cancelled()) == (1, True)


@pytest.mark.parametrize("others", [0, 1])
def test_another_api_key_brings_no_second_limit(others: int) -> None:
    """Calls with the old x-api-key still count, and users of the new one share its limit."""
    arrivals: list[float] = []

    async def main() -> None:
        accepted = [OLD]

        def answer(request: httpx.Request) -> httpx.Response:
            arrivals.append(asyncio.get_running_loop().time())
            return only(accepted[0])(request)

        limit = RateLimit(25, per=5.0)
        rotating = asking(Vault(OLD, NEW), answer, rate_limit=limit)
        clients = [rotating, *(asking(Vault(NEW), answer, rate_limit=limit) for _ in range(others))]
        async with AsyncExitStack() as stack:
            for lsq in clients:
                await stack.enter_async_context(lsq)
            await asyncio.gather(*(rotating.leads.capture(LEAD) for _ in range(20)))
            accepted[0] = NEW
            await rotating.leads.capture(LEAD)
            await asyncio.gather(*(lsq.leads.capture(LEAD) for lsq in clients for _ in range(30)))
            shown = rotating.snapshot().limit
            assert shown is not None
            assert shown.granted >= 30 * len(clients), "the snapshot shows the limit in use"

    virtual.run(main)
    assert most_in_any_window(sorted(arrivals), 5.0) <= 25
