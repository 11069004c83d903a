"""An outbox is delivered to one account: the one that has accepted its leads."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import pytest

from leadsquared_async import Credentials, Outbox, OutboxError
from leadsquared_async.outbox import file_account
from leadsquared_async.sandbox import Account, SandboxTransport
from tests.clients import KEYS
from tests.outbox.machine import Machine, by_state, lead, played, run_sql, until

OTHER = {"access_key": "u$r" + "f" * 32, "secret_key": "f" * 40, "api_key": "F" * 40}
REFUSED = "delivered to another account.* leadsquared outbox adopt "


class OtherAccount(SandboxTransport):
    """Another account than the machine's, which takes the keys of OTHER."""

    def __init__(self) -> None:
        super().__init__(Account())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = str(request.url)
        for name, key in OTHER.items():
            address = address.replace(quote(key, safe=""), quote(KEYS[name], safe=""))
        request.url = httpx.URL(address)
        request.headers["x-api-key"] = KEYS["api_key"]
        return await super().handle_async_request(request)


async def delivered(machine: Machine) -> None:
    """A file with one lead that the account has accepted, and one that waits."""
    async with machine.process() as outbox:
        await outbox.put(lead(1))
        await outbox.drained()
    async with Outbox(machine.path) as outbox:
        await outbox.put(lead(2))


@played()
async def test_keys_of_another_account_deliver_nothing(machine: Machine) -> None:
    """The outbox does not open with them, the error says what to do, and the rows stay."""
    await delivered(machine)
    sent = len(machine.books.arrivals)
    with pytest.raises(OutboxError, match=REFUSED):
        async with machine.process(OTHER):
            pass
    assert len(machine.books.arrivals) == sent
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"confirmed": 1, "pending": 1}


@pytest.mark.parametrize("replaced", ["access_key", "secret_key", "api_key"])
@played()
async def test_one_replaced_key_needs_no_step(machine: Machine, replaced: str) -> None:
    """Another user's access key, or another x-api-key: either alone is the same account."""
    await delivered(machine)
    async with machine.process({replaced: OTHER[replaced]}) as outbox:
        assert outbox.path.exists()


@played()
async def test_keys_that_delivered_nothing_do_not_count(machine: Machine) -> None:
    """After a first run with keys that the account rejects, the right keys can deliver the file."""
    async with machine.process(OTHER) as outbox:
        await outbox.put(lead(1))

        async def is_held() -> bool:
            return (await outbox.snapshot()).blocked is not None

        await until(is_held)
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 1}


@played()
async def test_a_callable_that_returns_the_keys_of_another_account_ends_delivery(machine: Machine) -> None:
    """They are known at the first call only: it is not made, and `blocked` has the reason."""
    await delivered(machine)
    sent = len(machine.books.arrivals)

    async def keys() -> Credentials:
        return Credentials(**OTHER)

    options = {**dict.fromkeys(KEYS), "credentials": keys}
    async with machine.process(options) as outbox:
        with pytest.raises(OutboxError, match=REFUSED):
            await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 1, "pending": 1}
    assert len(machine.books.arrivals) == sent


@played()
async def test_the_account_is_checked_again_after_waiting_for_the_lock(machine: Machine) -> None:
    """A process may open a file that has no account yet, and deliver after another one gave it one."""
    other = OtherAccount()
    async with (
        machine.process() as first,
        machine.client(**OTHER, transport=other) as lsq,
        Outbox(machine.path, lsq) as second,
    ):
        await first.put(lead(1))
        await first.drained()
        await first.aclose()
        await second.put(lead(2))
        with pytest.raises(OutboxError, match=REFUSED):
            await second.drained()
        assert await by_state(second) == {"confirmed": 1, "pending": 1}
    assert not other.books.arrivals


@played()
async def test_keys_of_another_account_settle_no_accepted_row(machine: Machine) -> None:
    """That account knows none of the file's RequestIDs, which says nothing about their rows."""
    await delivered(machine)
    async with machine.crashing():
        await machine.arrival_of("p2@")
        await asyncio.sleep(0.1)

    async def keys() -> Credentials:
        return Credentials(**OTHER)

    options = {**dict.fromkeys(KEYS), "credentials": keys, "transport": OtherAccount()}
    async with machine.process(options) as outbox:
        assert await by_state(outbox) == {"confirmed": 1, "accepted": 1}
        await asyncio.sleep(8000)
        assert await by_state(outbox) == {"confirmed": 1, "accepted": 1}
        assert "another account" in str((await outbox.snapshot()).blocked)


@played()
async def test_an_account_that_cannot_be_read_is_read_again_after_a_pause(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as from a damaged page: nothing is sent, and no row is tried in a loop without a pause."""
    await delivered(machine)
    reads, sent = 0, len(machine.books.arrivals)

    def unreadable(*_: object) -> None:
        nonlocal reads
        reads += 1
        if reads < 1000:
            raise OutboxError("a damaged page")

    async with machine.process() as outbox:
        monkeypatch.setattr(file_account, "check", unreadable)
        await asyncio.sleep(20)
        assert 5 < reads < 100
        assert await by_state(outbox) == {"confirmed": 1, "pending": 1}
    assert len(machine.books.arrivals) == sent


@played()
async def test_the_salt_of_the_digests_is_read_when_the_file_is_opened(machine: Machine) -> None:
    """Another program that damages it later ends no delivery."""
    await delivered(machine)
    async with machine.process() as outbox:
        run_sql(machine.path, "UPDATE meta SET value = 'x' WHERE name = 'salt'")
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 2}


@played()
async def test_the_file_does_not_hold_the_keys(machine: Machine) -> None:
    """Only salted digests: no key is readable in the file."""
    await delivered(machine)
    content = machine.path.read_bytes()
    assert b"account" in content
    for key in KEYS.values():
        assert key.encode() not in content
