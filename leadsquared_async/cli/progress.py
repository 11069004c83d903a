"""The progress of a delivery: a live display at a terminal, elsewhere a line at growing intervals."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
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

__all__ = ["Bar", "DeliveryState", "Pace", "Progress", "bars", "live"]

FIRST_LINE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds to the first plain line, and at most between two."""
WORTH_A_LINE = 3.0
"""Seconds after which held rows are worth a message."""
LONE = 2.0
"""Seconds after which the display says that another process delivers."""
WINDOW = 60.0
BAR_WIDTH = 36

Bar = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """The counts of all rows at one moment, including those of earlier runs.

    `waiting` rows are not accepted yet; `unconfirmed` ones are followed; `work` is about how many calls are
    left. `held` says why nothing is sent, and `next_probe` is the seconds to the next probe.
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

    @property
    def counts(self) -> tuple[int, ...]:
        return self.waiting, self.unconfirmed, self.confirmed, self.rejected, self.unknown


class Pace:
    """How fast a count falls, over the last minute. Pure."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, at: float, left: float) -> None:
        self._seen.append((at, left))
        while len(self._seen) > 2 and at - self._seen[1][0] >= WINDOW:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        if not self._seen:
            return 0.0
        (since, before), (at, left) = self._seen[0], self._seen[-1]
        return max(0.0, (before - left) / (at - since)) if at > since else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until nothing is left; None if unknown."""
        return self._seen[-1][1] / self.per_second if self.per_second else None

    def remaining(self) -> str:
        """The time left, for people; empty if unknown."""
        left = self.seconds_left
        return f"about {spoken(left)} left" if left else ""


def bars(lines: Iterable[Bar]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, done, total in lines:
        bar = ProgressBar(max(total, 1), done, BAR_WIDTH, complete_style="green", finished_style="green")
        grid.add_row(name, bar, f"{done:,}/{total:,}")
    return grid


def live(terminal: Terminal, draw: Callable[[], RenderableType]) -> AbstractContextManager[object]:
    """Show what `draw` returns as long as the block lasts, at a terminal only."""
    if not terminal.console.is_terminal:
        return nullcontext()
    return Live(get_renderable=draw, console=terminal.console, refresh_per_second=5, transient=True)


class Progress:
    """The display of one delivery; a context manager.

    An earlier run had `before` rows accepted, and `ended` ones are final: they count, so that a continued run
    shows the whole file.
    """

    def __init__(
        self, terminal: Terminal, kinds: Counter[str], *, confirm: bool, before: int = 0, ended: int = 0
    ) -> None:
        self.confirm = confirm
        self._terminal = terminal
        self._kinds = kinds
        self._before, self._ended = before, ended
        self._first: DeliveryState | None = None
        self._last: DeliveryState | None = None
        self._sending, self._ending, self._working = Pace(), Pace(), Pace()
        self._live: Live | None = None
        self._next_line = 0.0
        self._pause = FIRST_LINE
        self._held_since: float | None = None
        self._is_hold_shown = False

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

    def update(self, state: DeliveryState) -> None:
        """Record the counts, and show them if it is time."""
        if self._first is None:
            self._first, self._next_line = state, state.at + FIRST_LINE
        self._last = state
        self._sending.note(state.at, state.waiting)
        self._ending.note(state.at, state.waiting + state.unconfirmed)
        self._working.note(state.at, state.work)
        self._show_hold(state)
        if self._live is not None:
            text = Text(", ".join(self._remarks(state)))
            self._live.update(Group(bars(self._bars(state)), text), refresh=True)
        elif state.at >= self._next_line:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next_line = state.at + self._pause
            self._terminal.say(self._line(state))

    def _show_hold(self, state: DeliveryState) -> None:
        """Say once that rows are held, and once that they no longer are."""
        if state.held is None:
            self._held_since = None
            if self._is_hold_shown:
                self._is_hold_shown = False
                self._terminal.say("delivering again", "green")
            return
        if self._held_since is None:
            self._held_since = state.at
        long_enough = state.at - self._held_since >= WORTH_A_LINE or state.fault is Fault.ACCOUNT
        if long_enough and not self._is_hold_shown:
            self._is_hold_shown = True
            # An account-level error may end the command at once.
            retried = "" if state.fault is Fault.ACCOUNT else ", and one is retried periodically"
            self._terminal.say(f"all rows are held{retried}: {state.held}", "yellow")

    def _bars(self, state: DeliveryState) -> list[Bar]:
        assert self._first is not None
        sent = self._before + self._ended
        to_send = sent + max(self._first.waiting, state.waiting)
        lines = [("sent", to_send - state.waiting, to_send)]
        if self.confirm:
            total = max(to_send, self._ended + state.waiting + state.unconfirmed)
            lines.append(("final", total - state.waiting - state.unconfirmed, total))
        return lines

    def _line(self, state: DeliveryState) -> str:
        counts = (f"{name} {done:,}/{total:,}" for name, done, total in self._bars(state))
        return ", ".join((*counts, *self._remarks(state)))

    def _remarks(self, state: DeliveryState) -> list[str]:
        assert self._first is not None
        if not state.waiting and self.confirm:
            remarks = [f"{self._ending.per_second:.1f} a second become final"]
        else:
            remarks = [f"{self._sending.per_second:.1f} a second"]
        if rejected := state.rejected - self._first.rejected:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._kinds.most_common(3))
            remarks.append(f"rejected {rejected:,}" + (f" ({kinds})" if kinds else ""))
        if unknown := state.unknown - self._first.unknown:
            remarks.append(f"unknown {unknown:,}")
        return list(filter(None, (*remarks, self._working.remaining(), self._waits_for(state))))

    def _waits_for(self, state: DeliveryState) -> str:
        assert self._first is not None
        if state.held is not None:
            probe = "" if state.next_probe is None else f", next try in {spoken(state.next_probe)}"
            return f"held{probe}"
        if not state.delivers and state.at - self._first.at >= LONE:
            return "another process delivers from this outbox"
        return "" if state.waiting or not state.unconfirmed else "waiting for LeadSquared to process them"
