"""Do eight processes keep to one shared limit while processes and the store fail?

In real time. First a form beside seven batches. Then a process is killed and replaced every 5 s for a minute;
the store is stopped for 20 s and started empty; and each process is replaced by one that declares 20 calls in
5 s. "Counted otherwise": the recorded arrivals, counted in each other way but the strict one. "Back": seconds
from the kill until others may spend the tokens of the killed process.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from benchmarks.accounts import LIMIT
from benchmarks.figures import Figure
from benchmarks.processes import Process
from benchmarks.shared_fleet import PER, Fleet, rate
from benchmarks.shared_rate import NETWORK, SETTLED
from leadsquared_async import RateLimit
from leadsquared_async.sandbox import COUNTERS, most_in_any_window

PROCESSES = 8
EVEN = {"faults": NETWORK}
SLOW = {"faults": {"latency": 0.3, "jitter": 0.4}}
"""So that a process that is killed has calls in flight."""
SILENT = {"faults": {"script": ["hang+taken"] * LIMIT.calls}}
"""It takes a burst and answers none of it."""
LEASE = 3.0
LATE = 0.5
"""Seconds that a busy machine may add."""
LEAST_RATE = 0.95


def measure() -> Iterator[Figure]:
    """The worst of each."""
    yield from _forms()
    yield from _kills()
    yield from _outage()
    yield from _change()


def _forms() -> Iterator[Figure]:
    """One process sends a form now and then, the others have batches without end."""
    with Fleet({"sandbox": EVEN}) as fleet:
        senders = [fleet.add("sandbox") for _ in range(PROCESSES - 1)]
        time.sleep(2 * SETTLED)
        senders.append(fleet.add("sandbox", kind="forms"))
        time.sleep(45.0)
        waits = fleet.end(senders)[-1]["sandbox"]["waits"]
        books = fleet.books["sandbox"]
    yield Figure(
        f"a form beside {PROCESSES - 1} full batches, to its answer",
        max(waits),
        " s",
        most=0.5,
        note=f"the slowest of {len(waits)}",
    )
    yield from _never_over("a form beside batches", books)


def _kills() -> Iterator[Figure]:
    """For a minute one is killed every 5 s and replaced, and once one of another account in a burst."""
    with Fleet({"sandbox": SLOW, "silent": SILENT}) as fleet:
        senders = deque(fleet.add("sandbox") for _ in range(PROCESSES))
        time.sleep(SETTLED)
        start = time.monotonic()
        for number in range(12):
            time.sleep(max(0.0, start + 5.0 * (number + 1) - time.monotonic()))
            senders.popleft().kill()
            senders.append(fleet.add("sandbox"))
            if number == 5:
                burst = fleet.add("silent", kind="burst")
                time.sleep(0.5)
                burst.kill()
                killed = time.monotonic()
                follower = fleet.add("silent", kind="burst")
        end = time.monotonic()
        fleet.end([*senders, follower])
        books, silent = fleet.books["sandbox"], fleet.books["silent"]["times"]
    yield from _never_over("12 killed in a minute", books)
    yield Figure(
        "12 killed in a minute: calls a second",
        rate(books["times"], start, end),
        least=4.0,
        note="0.3 to 0.7 s a round trip",
    )
    assert sum(at < killed for at in silent) == LIMIT.calls
    back = [at - killed for at in silent if at > killed]
    whole = LEASE + 2 * PER
    yield Figure(
        f"killed with {LIMIT.calls} in flight: first token back",
        back[0],
        " s",
        least=2 * PER - LATE,
        most=whole + LATE,
        note="lease + two windows",
    )
    yield Figure(
        f"killed with {LIMIT.calls} in flight: last token back",
        back[LIMIT.calls - 1],
        " s",
        most=whole + (LIMIT.calls - 1) * LIMIT.spacing + LATE,
        note="the others a spacing apart",
    )


def _outage() -> Iterator[Figure]:
    """The store is stopped for 20 s under load, and started empty."""
    leads = 28
    with Fleet({"sandbox": EVEN}) as fleet:
        senders = [fleet.add("sandbox", leads=leads) for _ in range(PROCESSES)]
        time.sleep(2 * SETTLED)
        fleet.store.stop()
        stopped = time.monotonic()
        time.sleep(20.0)
        fleet.store.start()
        started = time.monotonic()
        reports = fleet.end(senders, Process.heard)
        books = fleet.books["sandbox"]
    answered = sum(len(report["sandbox"]["answered"]) for report in reports)
    gaps = [later - one for one, later in itertools.pairwise(books["times"])]
    yield Figure(
        "no store for 20 s: leads that did not arrive",
        PROCESSES * leads - min(answered, books["accepted"] - books["repeated"]),
        most=0,
        note=f"of {PROCESSES * leads}",
    )
    yield Figure(
        "no store for 20 s: 429s",
        books["over_limit"],
        note=f"each sent again: {books['arrivals']} calls, {books['accepted']} taken",
    )
    yield Figure("no store for 20 s: most arrivals in any 5 s", books["most_arrivals"], most=LIMIT.calls)
    yield Figure(
        "no store for 20 s: calls a second meanwhile", rate(books["times"], stopped, started), least=3.5
    )
    yield Figure("no store for 20 s: longest silence", max(gaps), " s", most=PER + LATE + 0.5)


def _change() -> Iterator[Figure]:
    """One process after the other is replaced by one that declares less; the server allows what it did."""
    less = RateLimit(20, per=PER)
    with Fleet({"sandbox": EVEN}) as fleet:
        senders = deque(fleet.add("sandbox") for _ in range(PROCESSES))
        time.sleep(2 * SETTLED)
        declared: list[float] = []
        for _ in range(PROCESSES):
            senders.append(fleet.add("sandbox", limit=less))
            declared.append(time.monotonic())
            senders.popleft().end()
            time.sleep(3.0)
        time.sleep(2 * PER)
        end = time.monotonic()
        fleet.end(senders)
        books = fleet.books["sandbox"]
    times = books["times"]
    before, after = [at for at in times if at < declared[0]], [at for at in times if at > declared[0]]
    yield Figure("from 25 to 20 in 5 s: 429s of a server that allows 25", books["over_limit"], most=0)
    yield Figure(
        "from 25 to 20 in 5 s: most arrivals in any 5 s",
        most_in_any_window(after, PER),
        most=less.calls,
        note=f"from the first declaration on; before it {most_in_any_window(before, PER)}",
    )
    yield Figure(
        "from 25 to 20 in 5 s: rate / what 20 allow",
        rate(times, declared[0] + PER, end) * less.spacing,
        least=LEAST_RATE,
    )


def _never_over(what: str, books: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(f"{what}: 429s", books["over_limit"], most=0)
    yield Figure(
        f"{what}: refusals, counted otherwise",
        max(_refused(books["times"]).values()),
        most=0,
        note="the worst way",
    )
    yield Figure(f"{what}: most arrivals in any 5 s", books["most_arrivals"], most=LIMIT.calls)


def _refused(times: list[float]) -> dict[str, int]:
    """How many calls each other way of counting would have refused; the strict one needs 24 in 5 s."""
    counters = {name: make(LIMIT.calls, PER) for name, make in COUNTERS.items() if "strict" not in name}
    return {name: sum(not counter.admit(at) for at in times) for name, counter in counters.items()}
