"""Real processes on a real Valkey, ten times as fast as LeadSquared's limit: 25 calls in 0.5 s."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from leadsquared_async.sandbox import COUNTERS, most_in_any_window
from tests.limiter.processes import Workers
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

CALLS, PER = 25, 0.5
SPACING = PER / CALLS * 1.02
SECONDS = 4.0


@pytest.fixture
def workers(valkey: Valkey) -> Iterator[Workers]:
    """Processes that share an empty store."""
    valkey.command("FLUSHALL")
    with Workers(valkey.url) as running:
        yield running


def run(workers: Workers) -> None:
    workers.start()
    time.sleep(SECONDS)
    workers.stop()


def refused(arrivals: list[float]) -> dict[str, int]:
    """How many of the calls would have got a 429, by way of counting."""
    counters = {name: make(CALLS, PER) for name, make in COUNTERS.items() if "strict" not in name}
    return {name: sum(not counter.admit(at) for at in arrivals) for name, counter in counters.items()}


def test_four_processes_keep_to_one_limit_and_use_it(workers: Workers) -> None:
    """No 429 in any way of counting, 95 % of the rate is used, in even shares, for few requests."""
    for _ in range(4):
        workers.add("INTERACTIVE", 200)
    run(workers)
    arrivals = workers.arrivals
    assert not any(refused(arrivals).values())
    busy = [at for at in arrivals if at > arrivals[0] + PER]
    assert len(busy) / (busy[-1] - busy[0]) >= 0.93 / SPACING
    shares = [sum(at > arrivals[0] + PER for _, _, at in worker.calls) for worker in workers.all]
    assert max(shares) <= 1.2 * min(shares)
    ends = [worker.end for worker in workers.all]
    assert sum(requests for _, requests, _ in filter(None, ends)) <= 4 * len(arrivals)


def test_a_form_goes_before_the_batches_of_other_processes(workers: Workers) -> None:
    """A form now and then beside three full batches waits little more than a spacing."""
    forms = workers.add("INTERACTIVE", 1)
    for _ in range(3):
        workers.add("BATCH", 200)
    run(workers)
    assert not any(refused(workers.arrivals).values())
    waits = sorted(sent - asked for asked, sent, _ in forms.calls)
    assert len(waits) >= 6
    assert waits[len(waits) // 2] < 3 * SPACING
    assert waits[-1] < 0.5


def test_processes_that_are_killed_bring_no_second_burst(workers: Workers) -> None:
    """One of three killed every second: never more than 25 in a window, and the others keep sending."""
    for _ in range(3):
        workers.add("INTERACTIVE", 50)
    workers.start()
    for victim in workers.all[:2]:
        time.sleep(1.0)
        victim.child.kill()
    time.sleep(1.5 + 2 * PER + 1.0)
    workers.stop()
    assert most_in_any_window(workers.arrivals, PER) <= CALLS
    last = [at for _, _, at in workers.all[2].calls if at > workers.arrivals[-1] - 0.9]
    assert len(last) >= 0.9 * 0.8 / SPACING
