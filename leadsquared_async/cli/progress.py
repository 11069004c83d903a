"""The progress of a delivery: a live display on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from leadsquared_async.cli.durations import spoken
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.errors import Fault

__all__ = ["Look", "Pace", "Progress"]

FIRST_LINE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds to the first plain line, and at most between two."""
WORTH_A_LINE = 3.0
"""Seconds after which held rows are worth a message."""
LONE = 2.0
"""Seconds after which the display says that another process delivers."""
WINDOW = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """The counts of all rows at one moment, including those of earlier runs.

    `waiting` rows are not accepted yet; `unconfirmed` ones are followed; `work` is about how many calls are
    left. `held` says why nothing is sent, and `next_probe` is the time to the next try in seconds.
    """

    at: float
    waiting: int
    unconfirmed: int
    confirmed: int
    rejected: int
    unknown: int
    work: float
    is_done: bool = False
    held: str | None = None
    fault: Fault | None = None
    next_probe: float | None = None
    delivers: bool = True


class Pace:
    """How fast a count falls, over the last minute. Pure."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, at: float, left: float) -> None:
        """Record how much is left at a time."""
        self._seen.append((at, left))
        while len(self._seen) > 2 and at - self._seen[1][0] >= WINDOW:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """How much it falls in a second."""
        if not self._seen:
            return 0.0
        (since, before), (at, left) = self._seen[0], self._seen[-1]
        return max(0.0, (before - left) / (at - since)) if at > since else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until nothing is left; None if unknown."""
        return self._seen[-1][1] / self.per_second if self.per_second else None


class Progress:
    """The display of one delivery; a context manager.

    An earlier run had `before` rows accepted, and `ended` ones are final: they count, so that a continued run
    shows the whole file.
    """

    def __init__(
        self, terminal: Terminal, kinds: Counter[str], *, confirm: bool, before: int = 0, ended: int = 0
    ) -> None:
        self._terminal = terminal
        self._kinds = kinds
        self._confirm = confirm
        self._before, self._ended = before, ended
        self._first: Look | None = None
        self._last: Look | None = None
        self._sending, self._ending, self._working = Pace(), Pace(), Pace()
        self._live: Live | None = None
        self._next_line = 0.0
        self._pause = FIRST_LINE
        self._held_since: float | None = None
        self._told: str | None = None

    def __enter__(self) -> Self:
        if self._terminal.console.is_terminal:
            self._live = Live(console=self._terminal.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._last is not None and self._last is not self._first:
            self._terminal.say(self._line(self._last))

    def update(self, look: Look) -> None:
        """Record the counts, and show them when it is time to."""
        if self._first is None:
            self._first, self._next_line = look, look.at + FIRST_LINE
        self._last = look
        self._sending.note(look.at, look.waiting)
        self._ending.note(look.at, look.waiting + look.unconfirmed)
        self._working.note(look.at, look.work)
        self._tell_of_holding(look)
        if self._live is not None:
            self._live.update(self._drawing(look), refresh=True)
        elif look.at >= self._next_line:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next_line = look.at + self._pause
            self._terminal.say(self._line(look))

    def _tell_of_holding(self, look: Look) -> None:
        """Say once that rows are held, and once that they no longer are."""
        if look.held is None:
            self._held_since = None
            if self._told is not None:
                self._told = None
                self._terminal.say("delivering again", "green")
            return
        if self._held_since is None:
            self._held_since = look.at
        long_enough = look.at - self._held_since >= WORTH_A_LINE or look.fault is Fault.ACCOUNT
        if self._told is None and long_enough:
            self._told = look.held
            # An account's error may end the command at once.
            tried = "" if look.fault is Fault.ACCOUNT else " and tried again from time to time"
            self._terminal.say(f"all rows are held{tried}: {look.held}", "yellow")

    def _bars(self, look: Look) -> list[tuple[str, int, int]]:
        """The name, the done part and the total of each bar."""
        assert self._first is not None
        sent = self._before + self._ended
        to_send = sent + max(self._first.waiting, look.waiting)
        bars = [("sent", to_send - look.waiting, to_send)]
        if self._confirm:
            total = max(to_send, self._ended + look.waiting + look.unconfirmed)
            bars.append(("final", total - look.waiting - look.unconfirmed, total))
        return bars

    def _rates(self, look: Look) -> str:
        if not look.waiting and self._confirm:
            return f"{self._ending.per_second:.1f} a second become final"
        return f"{self._sending.per_second:.1f} a second"

    def _line(self, look: Look) -> str:
        bars = [f"{name} {done:,}/{total:,}" for name, done, total in self._bars(look)]
        said = (*bars, self._rates(look), *self._short(look), self._remaining(look), self._waits_for(look))
        return ", ".join(filter(None, said))

    def _short(self, look: Look) -> list[str]:
        assert self._first is not None
        said = list[str]()
        if rejected := look.rejected - self._first.rejected:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._kinds.most_common(3))
            said.append(f"rejected {rejected:,}" + (f" ({kinds})" if kinds else ""))
        if unknown := look.unknown - self._first.unknown:
            said.append(f"unknown {unknown:,}")
        return said

    def _remaining(self, look: Look) -> str:
        left = self._working.seconds_left
        return f"about {spoken(left)} left" if left is not None and look.work else ""

    def _waits_for(self, look: Look) -> str:
        assert self._first is not None
        if look.held is not None:
            return "held" + ("" if look.next_probe is None else f", next try in {spoken(look.next_probe)}")
        if not look.delivers and look.at - self._first.at >= LONE:
            return "another process delivers from this outbox"
        return "" if look.waiting or not look.unconfirmed else "waiting for LeadSquared to process them"

    def _drawing(self, look: Look) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        for name, done, total in self._bars(look):
            bar = ProgressBar(
                total=max(total, 1), completed=done, width=36, complete_style="green", finished_style="green"
            )
            grid.add_row(name, bar, f"{done:,}/{total:,}")
        said = (self._rates(look), *self._short(look), self._remaining(look), self._waits_for(look))
        return Group(grid, Text(", ".join(filter(None, said))))
