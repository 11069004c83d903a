"""Do four and eight processes keep to one shared limit, and how much of the rate is lost?

Endless batches at 25 calls in 5 s, in real time over real sockets, with round trips of 40 to 120 ms, for each
way of counting. The figures are the worst over all ways. The rate is compared with that of one process alone,
which runs at the same time against sandboxes of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.accounts import LIMIT
from benchmarks.figures import Figure
from benchmarks.shared_fleet import PER, Fleet, rate
from leadsquared_async.sandbox import COUNTERS

FLEETS = (4, 8)
NETWORK = {"latency": 0.04, "jitter": 0.08}
"""Seconds of a round trip: from 40 to 120 ms."""
SETTLED = PER + 1.0
"""Seconds until all are at their pace: a store that has just started lends nothing for a window."""
SECONDS = 30.0
LEAST_RATE = 0.95
MOST_UNEVEN = 1.2


def measure() -> Iterator[Figure]:
    """The worst of all ways of counting; one process alone runs at the same time, on sandboxes of its own."""
    for processes in FLEETS:
        yield from _of_fleet(processes)


def _of_fleet(processes: int) -> Iterator[Figure]:
    alone = {name: f"{name}, alone" for name in COUNTERS}
    options = {
        name: {"counting": counting, "faults": NETWORK}
        for counting in COUNTERS
        for name in (counting, alone[counting])
    }
    with Fleet(options) as fleet:
        senders = [fleet.add(*alone.values())]
        senders += [fleet.add(*COUNTERS) for _ in range(processes)]
        time.sleep(SETTLED)
        start = time.monotonic()
        time.sleep(SECONDS)
        end = time.monotonic()
        _, *reports = fleet.end(senders)
        books = fleet.books
    kept: dict[str, float] = {}
    uneven: dict[str, float] = {}
    sent: dict[str, list[int]] = {}
    for name in COUNTERS:
        kept[name] = rate(books[name]["times"], start, end) / rate(books[alone[name]]["times"], start, end)
        sent[name] = [sum(start < at < end for at in report[name]["answered"]) for report in reports]
        uneven[name] = max(sent[name]) / min(sent[name])
    least, worst = min(kept, key=kept.__getitem__), max(uneven, key=uneven.__getitem__)
    slowest = min(rate(books[name]["times"], start, end) for name in COUNTERS)
    accepted = sum(books[name]["accepted"] for name in COUNTERS)
    yield Figure(
        f"{processes} processes: 429s, all ways of counting",
        sum(book["over_limit"] for book in books.values()),
        most=0,
        note=f"of {accepted} leads",
    )
    yield Figure(
        f"{processes} processes: most arrivals in any 5 s",
        max(book["most_arrivals"] for book in books.values()),
        most=LIMIT.calls,
    )
    yield Figure(
        f"{processes} processes: rate / that of one alone",
        kept[least],
        least=LEAST_RATE,
        note=f"{least}; the slowest: {slowest:.2f} a second",
    )
    yield Figure(
        f"{processes} processes: most / least sent by one",
        uneven[worst],
        most=MOST_UNEVEN,
        note=f"{worst}: {min(sent[worst])} to {max(sent[worst])}",
    )
