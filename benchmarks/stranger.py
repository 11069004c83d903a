"""How does a client share the limit with another program that sends 2 calls a second?

Ten minutes in virtual time at 25 calls in 5 seconds, so that 3 calls a second are left, with round trips of
40 to 120 ms. The other clients are measured with a sliding log, ours with each way of counting. A client that
gets more than 100 % of what is left takes it from the other program, whose refused calls are shown too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from statistics import median

from benchmarks.figures import Figure, Result, Table
from benchmarks.peers import CALLS, CLIENTS, OURS, OURS_STRICT, PER
from benchmarks.virtual_account import VirtualAccount, run
from leadsquared_async.sandbox import COUNTERS

STRANGERS_RATE = 2.0
LEFT = CALLS / PER - STRANGERS_RATE
"""Calls a second that are left."""
SETTLED, END = 60.0, 660.0
SEEDS = 5
SENDERS = 40
"""More than can ever be in flight, so that a lead is always waiting."""
LEAST_KEPT = 85.0
MOST_REFUSED = 8.0
STRICT = "sliding-counter-strict"
LOG = "sliding-log"


@dataclass
class _Run:
    """Calls of the last ten minutes, as the server counts them, and leads that were given up."""

    accepted: int = 0
    refused: int = 0
    lost: int = 0
    strangers: int = 0
    strangers_refused: int = 0

    @property
    def kept(self) -> float:
        return 100 * self.accepted / (LEFT * (END - SETTLED))

    @property
    def refused_share(self) -> float:
        return 100 * self.refused / (self.accepted + self.refused)

    @property
    def theirs_refused(self) -> float:
        return 100 * self.strangers_refused / self.strangers


def measure() -> Iterator[Result]:
    """The peers beside ours, then ours for each way of counting."""
    yield Table(
        "Beside another program, counted by a sliding log",
        ("client", "of the rate left", "of its calls refused", "of the other's refused", "leads lost"),
        [_row(client, _simulate(client, LOG, seed=0)) for client in CLIENTS],
    )
    for counting in COUNTERS:
        runs = [_simulate(OURS, counting, seed) for seed in range(SEEDS)]
        yield Figure(
            f"{counting}: of the rate left, used",
            median(run.kept for run in runs),
            " %",
            least=LEAST_KEPT,
            note=f"of the other program's calls, {median(run.theirs_refused for run in runs):.1f} % refused",
        )
        refused = median(run.refused_share for run in runs)
        yield Figure(f"{counting}: of our calls, refused", refused, " %", most=MOST_REFUSED)


def _row(client: str, found: _Run) -> list[str]:
    shares = (found.kept, found.refused_share, found.theirs_refused)
    return [client, *(f"{share:.0f} %" for share in shares), str(found.lost)]


def _simulate(client: str, counting: str, seed: int) -> _Run:
    """Ten minutes of both, after a minute that does not count."""
    chance = Random(seed)
    found = _Run()
    phase = chance.uniform(0, PER)
    account = VirtualAccount(counting, CALLS, PER, phase=phase, round_trip=(0.040, 0.120), seed=seed)
    opened = OURS_STRICT if client == OURS and counting == STRICT else CLIENTS[client]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def stranger() -> None:
            while loop.time() < start + END:
                is_taken = account.admit()
                if loop.time() >= start + SETTLED:
                    found.strangers += 1
                    found.strangers_refused += not is_taken
                await asyncio.sleep(chance.uniform(0.5, 1.5) / STRANGERS_RATE)

        async with opened("https://sandbox.invalid", account) as sender:

            async def send(number: int) -> None:
                while True:
                    try:
                        await sender.send(f"s{number}@example.com")
                    except Exception:
                        found.lost += loop.time() >= start + SETTLED

            sending = [asyncio.create_task(send(number)) for number in range(SENDERS)]
            await stranger()
            for task in sending:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*sending)
        settled = [taken for at, taken in account.arrivals if start + SETTLED <= at < start + END]
        found.accepted = sum(settled)
        found.refused = len(settled) - found.accepted

    run(main)
    return found
