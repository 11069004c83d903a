"""Writes docs/benchmarks.md from the results that `make bench` kept: `python -m benchmarks.page`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from benchmarks.figures import Figure, Plot, Table
from benchmarks.results import FOLDER, Kept, kept

PAGE = FOLDER.parent / "benchmarks.md"
HEAD = """# Benchmarks

`make bench` writes this page. Each part is the result of one file in `benchmarks/`, and is kept as JSON in
`docs/benchmarks/` with the machine, the versions and the date. Client and server run on one machine and talk
over 127.0.0.1: compare ratios, not microseconds.
"""


def text(benchmarks: Sequence[Kept]) -> str:
    """The page."""
    return "\n".join(chain((HEAD,), *map(_part, benchmarks))).rstrip() + "\n"


def _part(benchmark: Kept) -> Iterator[str]:
    question, _, explained = benchmark.asked.partition("\n")
    yield f"## {question.rstrip('.')}\n"
    if explained:
        yield f"{explained.strip()}\n"
    for result in benchmark.results:
        if isinstance(result, Plot):
            yield f"![{result.title}](benchmarks/{result.name}.svg)\n"
        elif isinstance(result, Table):
            yield f"{result.title}:\n"
            yield from _rows(result.columns, result.rows)
    figures = [result for result in benchmark.results if isinstance(result, Figure)]
    if figures:
        rows = [(figure.what, figure.shown, _budget(figure), figure.note) for figure in figures]
        yield from _rows(("figure", "value", "budget", "note"), rows)
    measured = benchmark.measured
    yield (
        f"`{benchmark.name}`: {measured['date']}, commit {measured['commit']}, Python {measured['python']}, "
        f"{measured['machine']}.\n"
    )


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _budget(figure: Figure) -> str:
    return f"{figure.budget}{'' if figure.is_met else ': **missed**'}" if figure.budget else ""


def main() -> None:
    """Draw the plots and write the page."""
    from benchmarks.plots import draw

    benchmarks = kept()
    for benchmark in benchmarks:
        for result in benchmark.results:
            if isinstance(result, Plot):
                draw(result, FOLDER)
    PAGE.write_text(text(benchmarks))


if __name__ == "__main__":
    main()
