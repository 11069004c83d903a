"""`leadsquared demo`: leads over a real socket, through faults, to their outcomes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from leadsquared_async import Delivery, Event, LeadSquared, LeadSquaredError, RateLimit
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.options import option
from leadsquared_async.cli.progress import Bar, bars
from leadsquared_async.events import Retried
from leadsquared_async.sandbox import Faults

if TYPE_CHECKING:
    from leadsquared_async.sandbox import Books

__all__ = ["LIMIT", "demo"]

LIMIT = (25, 5.0)
# Some calls fail, and one is taken whose answer is lost; the latencies are those of a far host.
SCRIPT = (
    ("ok",) * 11 + ("500",) + ("ok",) * 9 + ("lost+taken",) + ("ok",) * 13 + ("500",) + ("ok",) * 7 + ("503",)
)
FAULTS = Faults(latency=0.04, jitter=0.06, script=SCRIPT, operations=("capture",))
REFRESH, PLAIN_EVERY = 0.1, 5.0
SHOWN = 8
"""The number of leads shown."""
WIDE = 120
"""The width of a terminal, in characters, from which ids are shown in full."""


def demo(
    leads: Annotated[int, option("--leads N", "How many leads to send.", least=1, most=1000)] = 60,
    seed: Annotated[int, option("--seed N", "The same seed gives the same latencies and faults.")] = 1,
) -> ExitStatus:
    """Watch leads go to a local LeadSquared emulator, through faults.

    No account, no network. About half a minute for 60 leads, since the status calls
    share the limit of 25 calls in 5 seconds. Exits with 0 if every lead arrived, else with 1.

    Example: leadsquared demo --leads 50
    """
    console = Console()
    arrived = asyncio.run(run_demo(console, leads, seed))
    return ExitStatus.DONE if arrived else ExitStatus.NOT_ALL


async def run_demo(console: Console, leads: int, seed: int) -> bool:
    """Run the demo on a console; returns whether every lead arrived, by the sandbox's books."""
    from leadsquared_async.sandbox import Sandbox  # noqa: PLC0415 - slow to import

    sandbox = Sandbox(limit=LIMIT, count_refused=True, faults=FAULTS, processing_rate=1200, seed=seed)
    display = Display(console, {number: Line() for number in range(1, leads + 1)}, sandbox.books)
    async with sandbox:
        client = LeadSquared(
            access_key=sandbox.access_key,
            secret_key=sandbox.secret_key,
            api_key=sandbox.api_key,
            host=sandbox.url,
            rate_limit=RateLimit(LIMIT[0], per=LIMIT[1]),
            on_event=_recording_losses(display.lines),
            name="demo",
        )
        async with client as lsq:
            showing = asyncio.create_task(display.show(), name="leadsquared demo")
            try:
                await asyncio.gather(*(_send(lsq, *each) for each in display.lines.items()))
            finally:
                showing.cancel()
                await asyncio.wait([showing])
    display.show_summary()
    arrived = display.count("confirmed") == leads == len(sandbox.books.leads)
    console.print("every lead arrived" if arrived else "not every lead arrived", style="bold")
    console.print(
        "next: leadsquared sandbox, and in another terminal leadsquared check FILE", highlight=False
    )
    return arrived


async def _send(lsq: LeadSquared, number: int, line: Line) -> None:
    lead = {
        "FirstName": f"Visitor {number}",
        "EmailAddress": f"visitor-{number}@demo.invalid",
        "Source": "leadsquared demo",
    }
    try:
        receipt = await lsq.leads.capture(lead, reference=f"demo-{number}")
        line.request_id, line.retries = receipt.request_id, receipt.attempts - 1
        line.state = line.outcome = "accepted"
        status = await lsq.leads.wait(receipt.request_id)
    except LeadSquaredError as error:
        line.state, line.outcome = "failed", type(error).__name__
        return
    if status.succeeded:
        line.state, line.lead_id = "confirmed", status.lead_id or ""
        line.outcome = "new lead" if status.created else "updated"
    else:
        line.state, line.outcome = "failed", status.raw_state


def _recording_losses(lines: Mapping[int, Line]) -> Callable[[Event], None]:
    """Record whose answer was lost."""

    def record_loss(event: Event) -> None:
        if isinstance(event, Retried) and event.delivery is Delivery.UNKNOWN and event.status_code is None:
            lines[int((event.reference or "").removeprefix("demo-"))].is_lost = True

    return record_loss


@dataclass
class Line:
    """One lead; holds no personal data."""

    state: str = "waiting"
    outcome: str = "waiting"
    request_id: str = ""
    lead_id: str = ""
    retries: int = 0
    is_lost: bool = False
    """Whether the answer to an attempt was lost."""

    def __str__(self) -> str:
        return self.outcome + (": its answer was lost, so it was sent again" if self.is_lost else "")


@dataclass
class Display:
    """What the demo shows: its leads, and the sandbox's books."""

    console: Console
    lines: dict[int, Line]
    books: Books

    def count(self, state: str) -> int:
        return sum(line.state == state for line in self.lines.values())

    async def show(self) -> None:
        """Show the progress until cancelled: live at a terminal, otherwise a line every few seconds."""
        # When its pipe is closed (`| head`), rich ends the program from wherever it prints: here, in a task.
        with contextlib.suppress(SystemExit):
            if not self.console.is_terminal:
                self._print(f"sending {len(self.lines)} leads to a local LeadSquared emulator")
                while True:
                    await asyncio.sleep(PLAIN_EVERY)
                    counts = (f"{name} {done}/{total}" for name, done, total in self._bars())
                    self._print(", ".join((*counts, *self._counts())))
            with Live(self._drawing(), console=self.console, auto_refresh=False) as live:
                try:
                    while True:
                        await asyncio.sleep(REFRESH)
                        live.update(self._drawing(), refresh=True)
                finally:
                    live.update(self._drawing(), refresh=True)

    def show_summary(self) -> None:
        books, (calls, per) = self.books, LIMIT
        if not self.console.is_terminal:
            for number, line in self._shown():
                ids = f"RequestID {line.request_id}, lead id {line.lead_id}"
                self._print(f"lead {number}: {ids}, {line!s}")
        summary = Table("the sandbox's books", "", box=None, header_style="bold", pad_edge=False)
        for name, value in (
            ("leads that arrived", f"{len(books.leads)} of {len(self.lines)}"),
            ("duplicates among them", str(books.duplicates)),
            ("captures accepted", f"{books.accepted}, {books.repeated} of them a second time"),
            *(
                (f"lead {number}, whose answer was lost", f"accepted twice, still one lead: {line.lead_id}")
                for number, line in self._shown()
                if line.is_lost and line.lead_id
            ),
            ("calls", f"{len(books.arrivals)}, captures and status calls together"),
            (f"most calls in any {per:g} s", f"{books.most_arrivals(per)}, {calls} are allowed"),
            ("refused with 429", str(self._refusals())),
            ("answers by status", ", ".join(f"{code}: {n}" for code, n in sorted(books.by_outcome.items()))),
        ):
            summary.add_row(name, value)
        self.console.print(summary, highlight=False)

    def _shown(self) -> Iterator[tuple[int, Line]]:
        """The first leads, and the one whose answer was lost."""
        for number, line in self.lines.items():
            if number <= SHOWN or line.is_lost:
                yield number, line

    def _bars(self) -> tuple[Bar, ...]:
        calls, per = LIMIT
        lately = self.books.now - per
        return (
            ("RequestIDs", sum(bool(line.request_id) for line in self.lines.values()), len(self.lines)),
            ("confirmed", self.count("confirmed"), len(self.lines)),
            (f"calls in {per:g} s", sum(each.time > lately for each in self.books.arrivals), calls),
        )

    def _counts(self) -> tuple[str, ...]:
        retries = sum(line.retries for line in self.lines.values())
        return f"429s {self._refusals()}", f"retries {retries}", f"failed {self.count('failed')}"

    def _drawing(self) -> RenderableType:
        leads = Table("lead", "RequestID", "lead id", "outcome", box=None, header_style="dim")
        is_wide = self.console.width >= WIDE
        for number, line in self._shown():
            ids = (each[: None if is_wide else 8] for each in (line.request_id, line.lead_id))
            leads.add_row(str(number), *ids, str(line))
        contents = Group(bars(self._bars()), Text("   ".join(self._counts())), Text(), leads)
        return Panel(contents, title="leads to a local LeadSquared emulator", expand=False)

    def _refusals(self) -> int:
        """Calls that the limit refused, and 429s that a fault made."""
        return max(self.books.over_limit, self.books.by_outcome.get("429", 0))

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)
