"""Run the benchmarks that are named, or all: `python -m benchmarks [--keep] [name]...`.

With --keep the results are written to docs/benchmarks/, and docs/benchmarks.md from all that is there.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys

from benchmarks import page
from benchmarks.figures import Figure, Result
from benchmarks.results import NAMES, keep


def main(arguments: list[str]) -> int:
    """The exit status: 0 if every budget was met, 1 if one was missed, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args(arguments)
    names: list[str] = given.names
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; choose from {', '.join(NAMES)}")
        return 2
    missed = 0
    for name in names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        results: list[Result] = []
        for result in benchmark.measure():
            results.append(result)
            print(f"{name:<13} {result}", flush=True)
            missed += isinstance(result, Figure) and not result.is_met
        if given.keep:
            keep(name, benchmark.__doc__ or "", results)
    if given.keep:
        page.main()
    if missed:
        print(f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # of the faults and the cancelled leads that benchmarks are full of
    sys.exit(main(sys.argv[1:]))
