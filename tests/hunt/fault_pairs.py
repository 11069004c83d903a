"""Every fault of the sandbox followed by every other: what a capture says agrees with the sandbox's books."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable

from leadsquared_async import Delivery, LeadSquared, LeadSquaredError, RetryPolicy
from leadsquared_async.sandbox import Account, Faults
from leadsquared_async.sandbox.faults import FAULTS, find_fault
from tests import virtual
from tests.clients import LEAD, virtual_client

NOBODY = {"FirstName": "Bret"}
"""A lead that LeadSquared cannot match: twice makes two."""


def names() -> list[str]:
    """Every fault, and every fault after which the lead is taken all the same."""
    found = [*FAULTS]
    for name in FAULTS:
        try:
            find_fault(f"{name}+taken")
        except ValueError:
            continue
        found.append(f"{name}+taken")
    return found


def pairs() -> list[tuple[str, str, bool]]:
    """Two faults, and whether the lead can be matched."""
    return [(*pair, known) for pair in itertools.product(names(), repeat=2) for known in (True, False)]


async def capture(lsq: LeadSquared, account: Account, first: str, second: str, *, known: bool) -> None:
    """Capture a lead that meets both faults, and compare what is said with the books."""
    case = f"{first}, {second}, {'a lead that can be matched' if known else 'one that cannot'}"
    books = lsq._session.options.transport.books  # type: ignore[union-attr]
    before, arrived = books.accepted, len(books.arrivals)
    account.set_faults(Faults(script=(first, second), latency=0.02, drip=0.01), books.now)
    error: LeadSquaredError | None = None
    try:
        receipt = await lsq.leads.capture(LEAD if known else NOBODY)
    except LeadSquaredError as raised:
        error = raised
    taken = books.accepted - before
    if error is not None:
        assert error.attempts >= 1, case
        if error.delivery is Delivery.NOT_SENT:
            assert len(books.arrivals) == arrived, f"{case}: said not sent, and it arrived"
        if error.delivery in {Delivery.NOT_SENT, Delivery.REJECTED}:
            # A fault that takes the lead and says that it was refused lies to every client.
            lies = any(_lies(name) for name in (first, second))
            assert lies or taken == 0, f"{case}: said {error.delivery.value}, and it was taken"
        if error.safe_to_retry:
            assert known or taken == 0 or any(_lies(name) for name in (first, second)), case
    else:
        assert taken >= 1, f"{case}: said accepted, and nothing was taken"
        assert receipt.request_id in {request["request_id"] for request in books.requests}, case
    if not known and not any(_lies(name) or name in ALWAYS_REPEATED for name in (first, second)):
        assert taken <= 1, f"{case}: a lead that cannot be matched was taken {taken} times"
    limit = lsq.snapshot().limit
    assert limit is not None
    assert limit.in_flight == 0, f"{case}: a token is missing"


def _lies(name: str) -> bool:
    """Whether the server takes the lead and answers that it has not."""
    base, _, taken = name.partition("+")
    return bool(taken) and base in SAYS_NO


SAYS_NO = {
    *("401", "401-region", "403", "no-path", "429", "quota", "500-mx", "200-mx", "redirect", "refused"),
}
"""Faults whose answer says that the lead was not taken, which `+taken` makes untrue."""
ALWAYS_REPEATED = {"500+taken", "503+taken"}
"""Answers after which every call is made again: LeadSquared fails so before it takes a lead."""


def hunt(cases: Iterable[tuple[str, str, bool]], until: float = float("inf")) -> int:
    """Try these pairs until a time; returns how many were tried."""
    tried = 0

    async def main() -> None:
        nonlocal tried
        for first, second, known in cases:
            if time.monotonic() >= until:
                return
            account = Account(limit=None, processing_rate=60_000.0)
            retry = RetryPolicy(attempts=4, base=0.01, cap=0.02)
            lsq, _ = virtual_client(account, timeout=1.0, deadline=60.0, retry=retry)
            async with lsq:
                await capture(lsq, account, first, second, known=known)
            tried += 1

    virtual.run(main)
    return tried


def run(seconds: float, seed: int) -> str:
    """All pairs, in an order of this seed, for so long."""
    cases = pairs()
    random.Random(seed).shuffle(cases)
    return f"{hunt(cases, time.monotonic() + seconds)} of {len(cases)} pairs of faults"
