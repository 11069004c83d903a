"""`leadsquared outbox drain`: what is left in outbox files to LeadSquared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadsquared_async import ItemState, Outbox, OutboxSnapshot
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.delivering import Delivered, Ending, Kinds, deliver
from leadsquared_async.cli.durations import spoken
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.outboxes import check_files, counts_of
from leadsquared_async.cli.progress import Progress
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.printable import one_line

__all__ = ["Drained", "drain", "run_drain"]


@dataclass(frozen=True, slots=True)
class Drained:
    """How outbox files were delivered.

    Attributes:
        files: outboxes.
        snapshots: of each, at the end.
        delivered: how it ended.
        kinds: why leads were rejected.
    """

    files: Sequence[Path]
    snapshots: Sequence[OutboxSnapshot]
    delivered: Delivered
    kinds: Kinds

    @property
    def status(self) -> ExitStatus:
        """The exit status."""
        if self.delivered.ending is Ending.ACCOUNT:
            return ExitStatus.ACCOUNT
        if self.delivered.ending is not Ending.DONE:
            return ExitStatus.LEFT
        return ExitStatus.NOT_ALL if self.kinds.short else ExitStatus.DONE

    def text(self) -> str:
        """For people."""
        return "\n".join(map(_line, self.files, self.snapshots))

    def data(self) -> dict[str, Any]:
        """For programs."""
        files = zip(self.files, self.snapshots, strict=True)
        return {
            "outboxes": [{"file": str(path), **counts_of(found)} for path, found in files],
            "rejected_by_kind": dict(self.kinds.counts),
            "ending": self.delivered.ending.value,
            "why": self.delivered.why,
            "exit": int(self.status),
        }


def run_drain(
    files: Sequence[Path],
    connection: Connection,
    terminal: Terminal,
    *,
    within: float | None,
    until_empty: bool,
    confirm: bool,
) -> ExitStatus:
    """Deliver what is in the files, and show how that ended.

    Raises:
        CommandFailedError, LeadSquaredError: it cannot begin.
    """
    drained = drain(files, connection, terminal, within=within, until_empty=until_empty, confirm=confirm)
    terminal.result(drained.text(), drained.data())
    return drained.status


def drain(
    files: Sequence[Path],
    connection: Connection,
    terminal: Terminal,
    *,
    within: float | None = None,
    until_empty: bool = False,
    confirm: bool,
) -> Drained:
    """Deliver what is in the files.

    Args:
        files: outboxes.
        connection: to LeadSquared.
        terminal: says how it goes.
        within: seconds after which to stop; None for no bound.
        until_empty: whether to wait out a fault of the account, too.
        confirm: whether to follow leads to their outcome.

    Raises:
        CommandFailedError, LeadSquaredError: it cannot begin.
    """
    check_files(files)

    async def run(stop: Stop) -> Drained:
        kinds = Kinds()
        async with connection.client() as lsq, AsyncExitStack() as stack:
            outboxes = [Outbox(path, lsq, confirm=confirm) for path in files]
            for outbox in outboxes:
                outbox.on_final(kinds.note)
                await stack.enter_async_context(outbox)
            with Progress(terminal, kinds.counts, confirm=confirm) as progress:
                delivered = await deliver(outboxes, stop, progress, confirm=confirm, gives_up=not until_empty)
            if delivered.ending is Ending.STOPPED:
                terminal.say(f"{delivered.why}: finishing what is on its way; Ctrl-C again leaves at once")
            await stack.aclose()
        return Drained(files, await _snapshots(files), delivered, kinds)

    with Stop(ExitStatus.LEFT) as stop:
        if within is not None:
            stop.after(within, f"{spoken(within)} are over")
        drained = asyncio.run(run(stop))
    if (why := drained.delivered.why) is not None:
        terminal.say(f"stopped: {why.rstrip('.')}; the same command goes on with what is left")
    return drained


async def _snapshots(files: Sequence[Path]) -> list[OutboxSnapshot]:
    found: list[OutboxSnapshot] = []
    for path in files:
        async with Outbox(path) as outbox:
            found.append(await outbox.snapshot())
    return found


def _line(path: Path, found: OutboxSnapshot) -> str:
    counts = ", ".join(f"{state} {found.counts[state]:,}" for state in ItemState if found.counts[state])
    return f"{one_line(path)}: {counts or 'empty'}"
