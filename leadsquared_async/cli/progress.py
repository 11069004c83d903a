"""How far a delivery has come: drawn again and again on a terminal, elsewhere a line now and then."""

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
from leadsquared_async.cli.talk import Talk
from leadsquared_async.errors import Fault

__all__ = ["Look", "Pace", "Progress"]

FIRST_LINE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds to the first plain line, and at most between two."""
WORTH_A_LINE = 3.0
"""Seconds for which leads are held, from which on it is no mere hiccup."""
WINDOW = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """Where all rows are at one moment.

    Attributes:
        at: seconds of a monotonic clock.
        waiting: rows that are not accepted yet.
        unconfirmed: accepted rows that are followed.
        confirmed: rows, in earlier runs too.
        rejected: the same.
        unknown: the same.
        work: calls that are left, about.
        is_done: whether all rows are final.
        held: why nothing is sent; None if it is.
        fault: whose fault that is.
        next_probe: seconds until it is tried again.
        delivers: whether this process delivers.
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
    """How fast something becomes less, over the last minute. Pure."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, at: float, left: float) -> None:
        """So much is left at a time."""
        self._seen.append((at, left))
        while len(self._seen) > 2 and at - self._seen[1][0] >= WINDOW:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """How much less it becomes in a second."""
        if not self._seen:
            return 0.0
        (since, before), (at, left) = self._seen[0], self._seen[-1]
        return max(0.0, (before - left) / (at - since)) if at > since else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until nothing is left; None if that cannot be told."""
        return self._seen[-1][1] / self.per_second if self.per_second else None


class Progress:
    """The display of one delivery; a context manager.

    Args:
        talk: where to show it.
        kinds: why leads were rejected, counted by somebody else.
        confirm: whether outcomes are awaited.
    """

    def __init__(self, talk: Talk, kinds: Counter[str], *, confirm: bool) -> None:
        self._talk = talk
        self._kinds = kinds
        self._confirm = confirm
        self._first: Look | None = None
        self._last: Look | None = None
        self._sending, self._working = Pace(), Pace()
        self._live: Live | None = None
        self._next_line = 0.0
        self._pause = FIRST_LINE
        self._held_since: float | None = None
        self._told: str | None = None

    def __enter__(self) -> Self:
        if self._talk.console.is_terminal:
            self._live = Live(console=self._talk.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._last is not None and self._last is not self._first:
            self._talk.say(self._line(self._last))

    def update(self, look: Look) -> None:
        """Take a look, and show it when it is time to."""
        if self._first is None:
            self._first, self._next_line = look, look.at + FIRST_LINE
        self._last = look
        self._sending.note(look.at, look.waiting)
        self._working.note(look.at, look.work)
        self._tell_of_holding(look)
        if self._live is not None:
            self._live.update(self._drawing(look), refresh=True)
        elif look.at >= self._next_line:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next_line = look.at + self._pause
            self._talk.say(self._line(look))

    def _tell_of_holding(self, look: Look) -> None:
        """Say once that leads are held, and once that they are not any more."""
        if look.held is None:
            self._held_since = None
            if self._told is not None:
                self._told = None
                self._talk.say("delivering again")
            return
        if self._held_since is None:
            self._held_since = look.at
        long_enough = look.at - self._held_since >= WORTH_A_LINE or look.fault is Fault.ACCOUNT
        if self._told is None and long_enough:
            self._told = look.held
            # The account's fault may end the command at once.
            tried = "" if look.fault is Fault.ACCOUNT else ", and tried again by itself"
            self._talk.say(f"every lead is held{tried}: {look.held}")

    def _line(self, look: Look) -> str:
        return ", ".join(filter(None, (*self._counts(look), self._remaining(look), self._holding(look))))

    def _counts(self, look: Look) -> list[str]:
        assert self._first is not None
        total = max(self._first.waiting, look.waiting)
        said = [f"sent {total - look.waiting:,}/{total:,} ({self._sending.per_second:.1f} a second)"]
        if self._confirm:
            followed = max(total + self._first.unconfirmed, look.waiting + look.unconfirmed)
            said.append(f"final {followed - look.waiting - look.unconfirmed:,}/{followed:,}")
        if rejected := look.rejected - self._first.rejected:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._kinds.most_common(3))
            said.append(f"rejected {rejected:,}" + (f" ({kinds})" if kinds else ""))
        if unknown := look.unknown - self._first.unknown:
            said.append(f"unknown {unknown:,}")
        return said

    def _remaining(self, look: Look) -> str:
        left = self._working.seconds_left
        return f"about {spoken(left)} left" if left is not None and look.work else ""

    @staticmethod
    def _holding(look: Look) -> str:
        if look.held is None:
            return "" if look.delivers else "another process delivers from this outbox"
        probe = "" if look.next_probe is None else f", next try in {spoken(look.next_probe)}"
        return f"held{probe}"

    def _drawing(self, look: Look) -> RenderableType:
        assert self._first is not None
        bars = Table.grid(padding=(0, 2))
        total = max(self._first.waiting, look.waiting)
        rows = [("sent", total - look.waiting, total)]
        if self._confirm:
            followed = max(total + self._first.unconfirmed, look.waiting + look.unconfirmed)
            rows.append(("final", followed - look.waiting - look.unconfirmed, followed))
        for name, done, of in rows:
            bars.add_row(name, ProgressBar(total=max(of, 1), completed=done, width=36), f"{done:,}/{of:,}")
        said = [*self._counts(look)[2 if self._confirm else 1 :], self._remaining(look), self._holding(look)]
        pace = f"{self._sending.per_second:.1f} sent a second"
        return Group(bars, Text(", ".join((pace, *filter(None, said)))))
