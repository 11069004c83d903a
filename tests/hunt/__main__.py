"""`python -m tests.hunt --seconds 600`: look for errors in each way of this folder.

Each piece gets an equal share of the time, the mutants of one module of the pure core last. The first error
ends the run. Its steps, seed or case are printed: make them a test in the folder of what was wrong.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Callable

from tests.hunt import bad_network, cancellations, fault_pairs, fuzz, fuzz_files, mutants
from tests.hunt.limiter_machine import QueueMachine, TokensMachine
from tests.hunt.machines import play
from tests.hunt.outbox_machine import OutboxMachine
from tests.hunt.tracker_machine import TrackerMachine

Piece = Callable[[float, int], str]


def _machine(machine: type[TokensMachine | QueueMachine | OutboxMachine | TrackerMachine]) -> Piece:
    def run(seconds: float, seed: int) -> str:
        del seed
        return f"{play(machine, seconds)} runs of up to 30 steps"

    return run


PIECES: dict[str, Piece] = {
    "tokens": _machine(TokensMachine),
    "queue": _machine(QueueMachine),
    "outbox": _machine(OutboxMachine),
    "tracker": _machine(TrackerMachine),
    "cancellations": cancellations.run,
    "fault-pairs": fault_pairs.run,
    "fuzz": fuzz.run,
    "files": fuzz_files.run,
    "bad-network": bad_network.run,
    "mutants": mutants.run,
}
"""Each gets the seconds and a seed, and returns what it did."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pieces", nargs="*", help=f"by default all: {', '.join(PIECES)}")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the whole run (default: 300)")
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    arguments = parser.parse_args()
    if unknown := {*arguments.pieces} - PIECES.keys():
        parser.error(f"no piece is called {min(unknown)}: choose from {', '.join(PIECES)}")
    logging.disable()
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    pieces = arguments.pieces or [*PIECES]
    end = time.monotonic() + arguments.seconds
    print(f"seed {seed}", flush=True)
    for place, name in enumerate(pieces):
        share = max(0.0, end - time.monotonic()) / (len(pieces) - place)
        start = time.monotonic()
        print(f"{name:>14}: {PIECES[name](share, seed)}, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
