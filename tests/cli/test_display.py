"""What is shown during a run, and asked before it."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from leadsquared_async import Fault
from leadsquared_async.cli import file_run
from leadsquared_async.cli.files.rows import Flaw
from leadsquared_async.cli.findings import Findings
from leadsquared_async.cli.progress import DeliveryState, Pace, Progress
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import capture, write_leads

FIRST = DeliveryState(at=0.0, waiting=1000, unconfirmed=0, confirmed=50, rejected=2, unknown=0, work=2350.0)


def terminal_into(file: io.StringIO, *, terminal: bool) -> Terminal:
    made = Terminal()
    made.console = Console(file=file, force_terminal=terminal, width=100, highlight=False, markup=False)
    return made


def shown(
    *looks: DeliveryState,
    terminal: bool = False,
    kinds: Counter[str] | None = None,
    before: int = 0,
    ended: int = 0,
) -> str:
    file = io.StringIO()
    made = terminal_into(file, terminal=terminal)
    with Progress(made, kinds or Counter(), confirm=True, before=before, ended=ended) as progress:
        for look in looks:
            progress.update(look)
    return file.getvalue()


@pytest.mark.parametrize(
    ("seen", "per_second", "left"),
    [
        ([], 0.0, None),
        ([(0.0, 100.0)], 0.0, None),
        ([(0.0, 100.0), (10.0, 50.0)], 5.0, 10.0),
        ([(0.0, 100.0), (10.0, 120.0)], 0.0, None),
        ([(0.0, 900.0), (30.0, 600.0), (90.0, 300.0)], 5.0, 60.0),  # the first is too long ago
    ],
)
def test_the_pace_is_that_of_the_last_minute(
    seen: list[tuple[float, float]], per_second: float, left: float | None
) -> None:
    """The time left follows from the last minute; there is none without progress."""
    pace = Pace()
    for at, amount in seen:
        pace.note(at, amount)
    assert (pace.per_second, pace.seconds_left) == (per_second, left)


def test_without_a_terminal_there_are_lines_at_growing_intervals() -> None:
    """Lines become less frequent; each has counts, pace, time left and errors by kind."""
    looks = [
        replace(FIRST, at=second, waiting=1000 - 5 * second, work=2350.0 - 10 * second, rejected=2 + second)
        for second in range(121)
    ]
    lines = shown(*looks, kinds=Counter({"MXInvalidInputException": 120})).splitlines()
    assert len(lines) == 5  # after 5, 15, 35 and 75 s, and the last
    assert lines[0] == (
        "sent 25/1,000, final 25/1,000, 5.0 a second, rejected 5 (MXInvalidInputException 120), "
        "about 4 min left"
    )


def test_a_terminal_shows_bars() -> None:
    """A terminal shows the same counts with bars, redrawn in place."""
    text = shown(FIRST, replace(FIRST, at=10.0, waiting=500, unconfirmed=200, work=1445.0), terminal=True)
    assert "500/1,000" in text
    assert "300/1,000" in text
    assert "50.0 a second" in text


def test_a_run_that_is_continued_shows_the_whole_file() -> None:
    """Rows of earlier runs count as done; once all are sent, the pace is that of confirming."""
    first = replace(FIRST, waiting=190, unconfirmed=30, work=490.0)
    looks = [replace(first, at=6.0, waiting=0, unconfirmed=160, work=216.0)]
    (line, last) = shown(first, *looks, before=30, ended=80).splitlines()
    assert line == last
    assert line.startswith("sent 300/300, final 140/300, 10.0 a second become final, about 5 s left")


@pytest.mark.parametrize(
    ("fault", "seconds", "lines"), [(Fault.SERVER, 2, 0), (Fault.SERVER, 4, 1), (Fault.ACCOUNT, 0, 1)]
)
def test_a_hold_is_reported_once(fault: Fault, seconds: int, lines: int) -> None:
    """A short outage has no line; an account-level error, and its end, are shown at once."""
    held = replace(FIRST, held="LeadSquared is down", fault=fault, next_probe=3.0)
    looks = [replace(held, at=float(second)) for second in range(seconds + 1)]
    text = shown(FIRST, *looks, replace(FIRST, at=20.0))
    tried = "" if fault is Fault.ACCOUNT else ", and one is retried periodically"  # the command may end
    assert text.count(f"all rows are held{tried}: LeadSquared is down") == lines
    assert text.count("delivering again") == lines


def test_another_delivering_process_is_reported() -> None:
    """Another delivering process is reported, but not in the first seconds."""
    assert "another process delivers" in shown(FIRST, replace(FIRST, at=6.0, delivers=False))
    assert "another process" not in shown(FIRST, replace(FIRST, at=1.5, delivers=False))


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is asked only at a terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert terminal_into(io.StringIO(), terminal=False).ask("Send them?") is None
    assert terminal_into(io.StringIO(), terminal=True).ask("Send them?") is None


async def test_a_declined_run_sends_nothing(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is declined sends nothing; --yes asks nothing."""
    monkeypatch.setattr(file_run, "MANY_ROWS", 3)
    monkeypatch.setattr(Terminal, "ask", lambda self, question: False)
    file = write_leads(tmp_path / "a.csv", range(4))
    for arguments, code, sent in (((), 3, 0), (("--yes",), 0, 4)):
        done = await capture(sandbox, file, "--no-confirm", *arguments)
        assert (done.code, sandbox.books.accepted) == (code, sent)


@pytest.mark.parametrize(("width", "hidden"), [(40, "Operation, RequestID"), (80, "RequestID"), (140, "")])
def test_a_table_cuts_no_cell(width: int, hidden: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal too narrow for a table shows whole columns, and names the others."""
    row = ("1", "confirmed", "leads.capture", "a8c576e2-3cd0-46fd-bd57-b5853cd8b060", "MXUnknownAttribute")
    headings = ("Id", "State", "Operation", "RequestID", "Reason")
    made, out = Terminal(), io.StringIO()
    made.console = made._results = Console(file=out, force_terminal=True, width=width, color_system=None)
    made.table(headings, [row] * 2)
    said = " ".join(out.getvalue().split())
    assert all((cell in said) != (heading in hidden) for heading, cell in zip(headings, row, strict=True))
    assert (f"not shown at this width: {hidden};" in said) == bool(hidden)


def test_a_result_keeps_its_lines_at_a_terminal() -> None:
    """Blank lines and indents are kept, and a wrapped line keeps its indent."""
    made, out = Terminal(), io.StringIO()
    made._results = Console(file=out, force_terminal=True, width=20, color_system=None)
    made.result("leads.outbox: pending 1\n  waits for the account\n\nend", {})
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        *("leads.outbox:", "pending 1", "  waits for the", "  account", "", "end")
    ]


def test_a_single_row_that_is_too_wide_is_a_line_for_each_cell() -> None:
    """A single row that is too wide is shown as one line per cell."""
    made, out = Terminal(), io.StringIO()
    made._results = Console(file=out, force_terminal=True, width=80, color_system=None)
    made.table(("RequestID", "State", "Lead id", "Why"), [("a" * 36, "succeeded", "b" * 36, "")])
    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["RequestID", "a" * 36],
        ["State", "succeeded"],
        ["Lead", "id", "b" * 36],
    ]
    made.table(("Outcome", "Rows", ""), [("confirmed", "3", "")])
    assert out.getvalue().splitlines()[-1].split() == ["confirmed", "3"]


def test_equal_advice_is_shown_once() -> None:
    """At a terminal, similar findings have one line each and one advice below."""
    out, found = io.StringIO(), Findings()
    for name in ("id", "ad_id"):
        found.add(3, (Flaw("", "this account has no such field", name, "unknown"),))
    found.add(4, (Flaw("", "is no date: pass --date-format FORMAT, such as %d/%m/%Y", "Born", "not_a_date"),))
    found.show(terminal_into(out, terminal=True))
    assert re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).splitlines() == [
        "id  unknown  1 row, line 3",
        "ad_id  unknown  1 row, line 3",
        "    this account has no such field",
        "Born  not a date  1 row, line 4",
        "    is no date: pass --date-format FORMAT, such as %d/%m/%Y",
    ]
