"""Run the benchmarks that are named, or all: `python -m benchmarks [name ...]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import (
    batch_memory,
    capture_cost,
    check_cost,
    connections,
    crashes,
    file_cost,
    following,
    forms,
    import_cost,
    many_accounts,
    outbox_cost,
    outbox_drain,
    outbox_puts,
    rate,
    shared_cost,
    shared_faults,
    shared_rate,
    stranger,
    tasks,
    telemetry_cost,
    token_cost,
    uvloop_captures,
)
from benchmarks.figures import Figure

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "capture_cost": capture_cost.measure,
    "import_cost": import_cost.measure,
    "telemetry_cost": telemetry_cost.measure,
    "token_cost": token_cost.measure,
    "check_cost": check_cost.measure,
    "shared_cost": shared_cost.measure,
    "shared_rate": shared_rate.measure,
    "shared_faults": shared_faults.measure,
    "tasks": tasks.measure,
    "stranger": stranger.measure,
    "rate": rate.measure,
    "connections": connections.measure,
    "following": following.measure,
    "many_accounts": many_accounts.measure,
    "batch_memory": batch_memory.measure,
    "outbox_cost": outbox_cost.measure,
    "outbox_puts": outbox_puts.measure,
    "outbox_drain": outbox_drain.measure,
    "file_cost": file_cost.measure,
    "forms": forms.measure,
    "crashes": crashes.measure,
    "uvloop_captures": uvloop_captures.measure,
}


def main(names: list[str]) -> int:
    """The exit status: 0 if every budget was met, 1 if one was missed, 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
        return 2
    missed = 0
    for name in names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            print(f"{name:<13} {figure}", flush=True)
            missed += not figure.is_met
    if missed:
        print(f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
