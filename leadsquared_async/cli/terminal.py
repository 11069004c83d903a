"""What a command shows: remarks on standard error, results on standard output; tables at a terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leadsquared_async.cli.exits import CommandFailedError, is_closed_pipe
from leadsquared_async.cli.files.rows import counted
from leadsquared_async.printable import one_line, printable

__all__ = ["STYLES", "Terminal", "counted", "discard_results", "logger", "plain_table"]

logger = logging.getLogger("leadsquared_async")

LONGEST_LINE = 4000
UNBROKEN = 36
"""Characters of a RequestID, up to which a word in a table is not broken."""
WRAPPED = 12
"""Characters that the last column of a table has at least."""
STYLES = {
    "confirmed": "green", "accepted": "cyan", "rejected": "red", "refused": "red", "unknown": "yellow",
    "pending": "dim", "sending": "dim", "ok": "green", "look": "yellow", "wrong": "red", "succeeded": "green",
    "failed": "red", "queued": "cyan",
}  # fmt: skip
"""The colours of words; no information is in a colour alone."""


def plain_table(lines: Iterable[Sequence[str]]) -> str:
    """Aligned columns as text, for a pipe."""
    cells = [[printable(cell).replace("\n", " ") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in cells
    )


class Terminal:
    """Where one command shows things: remarks on `console`, standard error, results on standard output.

    `is_closed` is true once the reader of the results, such as `head`, has closed the pipe.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.is_closed = False
        is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in {"dumb", "unknown"}
        forced = False if is_plain else None
        self.console = Console(stderr=True, force_terminal=forced, highlight=False, markup=False, emoji=False)
        self._results = Console(force_terminal=forced, highlight=False, markup=False, emoji=False)

    def say(self, text: str, style: str = "") -> None:
        """Show a remark: wrapped between words at a terminal, one line elsewhere."""
        indent = " " * (len(text) - len(text.lstrip(" ")))
        line = indent + one_line(text, LONGEST_LINE)
        if self.console.is_terminal:
            self.console.print(_indented(line, style))
        else:
            self.console.print(Text(line, style), soft_wrap=True)

    def ask(self, question: str) -> bool | None:
        """Ask a yes/no question; None without a terminal."""
        if not (sys.stderr.isatty() and sys.stdin.isatty()):
            return None
        return typer.confirm(question, default=False, err=True)

    def line_of_input(self, what: str) -> str:
        """A value that must not be an argument: prompted for, or a line of standard input."""
        is_asked = sys.stdin is not None and sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison]
        text = typer.prompt(what, err=True) if is_asked else (sys.stdin or io.StringIO()).readline()
        if not text.strip():
            raise CommandFailedError(f"no value for {what}: type it, or pass it as a line of standard input")
        return str(text).strip()

    def choose(self, question: str, choices: Sequence[tuple[str, str]]) -> str | None:
        """Ask for one of several names, each shown with a text; None without a terminal or an answer."""
        if not (sys.stderr.isatty() and sys.stdin.isatty()):
            return None
        rows = [(str(number), *choice) for number, choice in enumerate(choices, start=1)]
        self.say(question)
        self.table(("", "", ""), rows, remark=True)
        answer = typer.prompt("Number, or Enter for none", default="", show_default=False, err=True)
        names = {str(number): name for number, (name, _) in enumerate(choices, start=1)}
        return names.get(answer.strip(), answer.strip() if answer.strip() in names.values() else None)

    def result(self, text: str, data: Mapping[str, Any], style: str = "") -> None:
        """Give the result: the text, or the data as one line of JSON."""
        if self._results.is_terminal and not self.as_json:
            for line in printable(text).split("\n"):
                self._results.print(_indented(line, style) if line else "")
        else:
            self._write(json.dumps(data) if self.as_json else printable(text))

    def exact(self, text: str) -> None:
        """Print lines to copy, which are not wrapped."""
        self._write(printable(text))

    def table(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        data: Mapping[str, Any] | None = None,
        *,
        remark: bool = False,
    ) -> None:
        """Show a table, or with --json the data; a remark goes to standard error.

        At a terminal the last column wraps. If it is too narrow, the names of the columns that do not fit are
        shown instead; a single row has one line for each cell.
        """
        console = self.console if remark else self._results
        if not remark and self.as_json:
            self._write(json.dumps(data))
        elif not console.is_terminal:
            text = plain_table([headings, *rows])
            if remark:
                self.console.print(text, soft_wrap=True)
            else:
                self._write(text)
        elif rows:
            cells = [[one_line(cell, LONGEST_LINE) for cell in row] for row in rows]
            shown = _fitting([headings, *cells], console.width)
            if len(rows) == 1 and len(shown) < len(headings):
                pairs = [(name, cell) for name, cell in zip(headings, rows[0], strict=True) if cell]
                self.table(("", ""), pairs, remark=remark)
                return
            table = Table(
                show_header=any(headings), box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0)
            )
            for place in shown:
                are_numbers = all(re.fullmatch(r"[\d,]*", row[place]) for row in cells)
                table.add_column(
                    headings[place],
                    justify="right" if are_numbers else "left",
                    no_wrap=place < len(headings) - 1 and max(len(row[place]) for row in cells) <= UNBROKEN,
                    overflow="fold",
                )
            for row in cells:
                table.add_row(*(Text(row[place], STYLES.get(row[place], "")) for place in shown))
            console.print(table)
            hidden = [name for place, name in enumerate(headings) if place not in shown]
            if hidden:
                self.say(f"not shown at this width: {', '.join(hidden)}; a pipe or --json shows all", "dim")

    def _write(self, text: str) -> None:
        try:
            if text:
                typer.echo(text)
        except OSError as error:
            if not is_closed_pipe(error):
                raise
            self.is_closed = True
            discard_results()


def _indented(line: str, style: str) -> Padding:
    """A line that keeps its indent where it wraps."""
    text = line.lstrip(" ")
    return Padding(Text(text, style), (0, 0, 0, len(line) - len(text)), expand=False)


def _fitting(lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that fit: the first, the last, and as many between as possible."""
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    words = [word for line in lines for word in line[last].split()]
    wrapped = max([WRAPPED, *(min(len(word), UNBROKEN // 2) for word in words)])
    room = width - min(widths[0], UNBROKEN) - 2 - min(widths[last], wrapped)
    shown = [0]
    for place in range(1, last):
        if widths[place] + 2 <= room:
            room -= widths[place] + 2
            shown.append(place)
    return [*shown, last]


def discard_results() -> None:
    """Redirect a closed standard output to nowhere: flushing its buffer at exit would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


_SHOWN_ELSEWHERE = frozenset({"held", "resumed", "fields_unavailable", "dead_letter"})
"""Events of log records that the commands show themselves."""


class _Handler(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) not in _SHOWN_ELSEWHERE:
            self._terminal.say(record.getMessage())


@contextmanager
def logs_shown(terminal: Terminal) -> Generator[None]:
    """Show the package's warnings as remarks."""
    handler, propagated = _Handler(terminal), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
