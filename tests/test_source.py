"""What a caller gives to be read: what is no source, and what its code raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from leadsquared_async import ConfigurationError, LeadSquared
from leadsquared_async.sandbox import Account, Books
from tests import clients
from tests.batches import WIDE, lead
from tests.clients import virtual_client


def play(what: Callable[[LeadSquared, Books], Awaitable[Any]]) -> None:
    clients.play(what, None, {"rate_limit": WIDE}, limit=None)


def test_a_stop_async_iteration_of_a_plain_generator_is_not_the_end() -> None:
    """Python turns it into a RuntimeError in asynchronous generators; in others it would hide lost leads."""

    def bridging() -> Iterator[dict[str, str]]:
        yield lead(1)
        raise StopAsyncIteration

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(bridging()) as results:
            assert (await anext(results)).receipt is not None
            with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
                await anext(results)

    play(send)


class StoppingSource(list[object]):
    def __iter__(self) -> Iterator[object]:
        raise StopAsyncIteration


class StoppingLead(dict[str, str]):
    def items(self) -> Any:
        raise StopAsyncIteration


@pytest.mark.parametrize("source", [StoppingSource(), [lead(1), StoppingLead(Phone="1")]])
def test_a_stop_async_iteration_of_anything_else_is_raised(source: Any) -> None:
    """It is not the end of the results either, wherever the caller's code raises it."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(source) as results:
            with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
                _ = [result async for result in results]

    play(send)


class Receiptlike:
    pass


WRONG: dict[str, Any] = {
    "dict": {"Phone": "1"},
    "str": "5f0d6f0c-9f4e-4d5f-8a31-3a6f8a2f2f10",
    "bytes": b"5f0d6f0c",
    "int": 5,
    "NoneType": None,
    "Receiptlike": Receiptlike(),
}
MANY: dict[str, tuple[Callable[[LeadSquared, Any], Any], str]] = {
    "leads.capture_many": (lambda lsq, given: lsq.leads.capture_many(given), "leads"),
    **{
        f"{name}.wait_many": (
            lambda lsq, given, name=name: getattr(lsq, name).wait_many(given),
            "receipts, RequestIDs or results",
        )
        for name in ("leads", "activities", "opportunities", "calls")
    },
    "submit_many": (lambda lsq, given: lsq.submit_many(given), "submissions"),
    "bulk.create_or_update": (lambda lsq, given: lsq.bulk.create_or_update(given), "leads"),
}


@pytest.mark.parametrize("call", MANY)
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_not_many_is_refused_with_the_call_the_type_and_the_way_on(call: str, kind: str) -> None:
    """Every call that takes many names itself, what it expects, and the type it got."""
    make, of = MANY[call]
    lsq, _ = virtual_client(Account())
    with pytest.raises(ConfigurationError) as caught:
        make(lsq, WRONG[kind])
    assert str(caught.value) == (
        f"{call}() expects an iterable or async iterable of {of}, got {kind}; "
        "pass a list, even for a single item: [item]"
    )
