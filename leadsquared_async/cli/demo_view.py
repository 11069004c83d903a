"""What `leadsquared demo` shows while it runs and at its end: no personal data, only counts and ids."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from leadsquared_async.sandbox import Books

__all__ = ["Line", "Progress", "Scene", "show_summary"]

REFRESH = 0.1
PLAIN_EVERY = 5.0
SHOWN = 8
"""Leads, of the first ones."""


@dataclass
class Line:
    """One of the leads that are shown."""

    number: int
    request_id: str = ""
    lead_id: str = ""
    outcome: str = "waiting"


@dataclass
class Progress:
    """How far the demo has come; what the sandbox's books do not know."""

    total: int
    accepted: int = 0
    confirmed: int = 0
    failed: int = 0
    retries: int = 0
    lines: dict[int, Line] = field(default_factory=dict[int, Line])
    lost: set[int] = field(default_factory=set[int])

    def shown(self) -> list[Line]:
        """The first leads, and the one whose answer was lost, which is the story."""
        first = [line for number, line in self.lines.items() if number <= SHOWN]
        return [*first, *(self.lines[number] for number in sorted(self.lost) if number > SHOWN)]

    def told(self, line: Line) -> str:
        """What became of a lead."""
        if line.number not in self.lost:
            return line.outcome
        return f"{line.outcome}: its answer was lost, so it was sent again"


WIDE = 120
"""Characters of a terminal from which on ids are shown whole."""


@dataclass(frozen=True)
class Scene:
    """All there is to show, and where."""

    console: Console
    progress: Progress
    books: Books
    limit: tuple[int, float]

    async def show(self) -> None:
        """Show the demo until cancelled: on a screen that is drawn again, or in a line now and then."""
        # When its pipe is closed (`| head`), rich ends the program from wherever it prints: here, in a task.
        with contextlib.suppress(SystemExit):
            await (_draw_again_and_again if self.console.is_terminal else _print_now_and_then)(self)


async def _draw_again_and_again(scene: Scene) -> None:
    with Live(_drawing(scene), console=scene.console, auto_refresh=False) as live:
        try:
            while True:
                await asyncio.sleep(REFRESH)
                live.update(_drawing(scene), refresh=True)
        finally:
            live.update(_drawing(scene), refresh=True)


def _drawing(scene: Scene) -> RenderableType:
    progress, (calls, per) = scene.progress, scene.limit
    bars = Table.grid(padding=(0, 2))
    for name, done, total in (
        ("RequestIDs", progress.accepted, progress.total),
        ("confirmed", progress.confirmed, progress.total),
        (f"calls in {per:g} s", calls_in_last(scene.books, per), calls),
    ):
        bars.add_row(name, ProgressBar(total=total, completed=done, width=36), f"{done}/{total}")
    counts = f"429s: {refusals(scene.books)}   retries: {progress.retries}   failed: {progress.failed}"
    leads = Table("lead", "RequestID", "lead id", "outcome", box=None, header_style="dim")
    whole = scene.console.width >= WIDE
    for line in progress.shown():
        ids = (each if whole else each[:8] for each in (line.request_id, line.lead_id))
        leads.add_row(str(line.number), *ids, progress.told(line))
    contents = Group(bars, Text(counts), Text(), leads)
    return Panel(contents, title="leads to a LeadSquared on this machine", expand=False)


async def _print_now_and_then(scene: Scene) -> None:
    progress, (calls, per) = scene.progress, scene.limit
    _print(scene, f"sending {progress.total} leads to a LeadSquared on this machine")
    while True:
        await asyncio.sleep(PLAIN_EVERY)
        _print(
            scene,
            f"RequestIDs {progress.accepted}/{progress.total}, "
            f"confirmed {progress.confirmed}/{progress.total}, "
            f"calls in the last {per:g} s {calls_in_last(scene.books, per)}/{calls}, "
            f"429s {refusals(scene.books)}, retries {progress.retries}, failed {progress.failed}",
        )


def show_summary(scene: Scene) -> None:
    """What happened, as the sandbox's books have it."""
    books, (calls, per) = scene.books, scene.limit
    if not scene.console.is_terminal:
        for line in scene.progress.shown():
            ids = f"RequestID {line.request_id}, lead id {line.lead_id}"
            _print(scene, f"lead {line.number}: {ids}, {scene.progress.told(line)}")
    summary = Table("the sandbox's books", "", box=None, header_style="bold", pad_edge=False)
    for name, value in (
        ("leads that arrived", f"{len(books.leads)} of {scene.progress.total}"),
        ("duplicates among them", str(books.duplicates)),
        ("captures taken", f"{books.accepted}, {books.repeated} of them a second time"),
        *_story(scene),
        ("calls", f"{len(books.arrivals)}, captures and status calls together"),
        (f"most calls in any {per:g} s", f"{books.most_arrivals(per)}, allowed are {calls}"),
        ("refused with 429", str(refusals(books))),
        ("answers by status", ", ".join(f"{status}: {n}" for status, n in sorted(books.by_outcome.items()))),
    ):
        summary.add_row(name, value)
    scene.console.print(summary, highlight=False)


def _story(scene: Scene) -> list[tuple[str, str]]:
    """What became of the leads whose answers were lost: LeadSquared has them once."""
    told: list[tuple[str, str]] = []
    for number in sorted(scene.progress.lost):
        line = scene.progress.lines[number]
        if line.lead_id:
            told.append(
                (f"lead {number}, whose answer was lost", f"taken twice, and one lead: {line.lead_id}")
            )
    return told


def _print(scene: Scene, text: str) -> None:
    scene.console.print(text, highlight=False, soft_wrap=True)


def calls_in_last(books: Books, seconds: float) -> int:
    """Calls that arrived in the last seconds of the sandbox's clock."""
    since = books.now - seconds
    count = 0
    for arrival in reversed(books.arrivals):
        if arrival.time <= since:
            break
        count += 1
    return count


def refusals(books: Books) -> int:
    """Calls that the limit refused, and 429s that a fault made."""
    return max(books.over_limit, books.by_outcome.get("429", 0))
