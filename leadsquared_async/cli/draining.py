"""`leadsquared outbox drain`: what is left in outbox files to LeadSquared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from leadsquared_async import ItemState, Outbox, OutboxSnapshot
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.delivering import Delivered, Ending, Kinds, deliver
from leadsquared_async.cli.durations import spoken
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.outboxes import check_files, counts_of
from leadsquared_async.cli.progress import Progress
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.talk import Talk

__all__ = ["run_drain"]


def run_drain(
    files: Sequence[Path],
    connection: Connection,
    talk: Talk,
    *,
    within: float | None,
    until_empty: bool,
    confirm: bool,
) -> ExitStatus:
    """Deliver what is in the files.

    Args:
        files: outboxes.
        connection: to LeadSquared.
        talk: says how it goes.
        within: seconds after which to stop; None for no bound.
        until_empty: whether to wait out a fault of the account, too.
        confirm: whether to follow leads to their outcome.

    Raises:
        CommandFailedError, LeadSquaredError: it cannot begin.
    """
    check_files(files)

    async def drain(stop: Stop) -> tuple[Delivered, list[OutboxSnapshot], Kinds]:
        kinds = Kinds()
        async with connection.client() as lsq, AsyncExitStack() as stack:
            outboxes = [Outbox(path, lsq, confirm=confirm) for path in files]
            for outbox in outboxes:
                outbox.on_final(kinds.note)
                await stack.enter_async_context(outbox)
            with Progress(talk, kinds.counts, confirm=confirm) as progress:
                delivered = await deliver(outboxes, stop, progress, confirm=confirm, gives_up=not until_empty)
            if delivered.ending is Ending.STOPPED:
                talk.say(f"{delivered.why}: finishing what is on its way; Ctrl-C again leaves at once")
            await stack.aclose()
        return delivered, await _snapshots(files), kinds

    with Stop(ExitStatus.LEFT) as stop:
        if within is not None:
            stop.after(within, f"{spoken(within)} are over")
        delivered, snapshots, kinds = asyncio.run(drain(stop))
    status = _status(delivered, kinds)
    if delivered.why is not None:
        talk.say(f"stopped: {delivered.why.rstrip('.')}; the same command goes on with what is left")
    data = {
        "outboxes": [
            {"file": str(path), **counts_of(found)} for path, found in zip(files, snapshots, strict=True)
        ],
        "rejected_by_kind": dict(kinds.counts),
        "ending": delivered.ending.value,
        "why": delivered.why,
        "exit": int(status),
    }
    talk.result("\n".join(map(_line, files, snapshots)), data)
    return status


async def _snapshots(files: Sequence[Path]) -> list[OutboxSnapshot]:
    found: list[OutboxSnapshot] = []
    for path in files:
        async with Outbox(path) as outbox:
            found.append(await outbox.snapshot())
    return found


def _line(path: Path, found: OutboxSnapshot) -> str:
    counts = ", ".join(f"{state} {found.counts[state]:,}" for state in ItemState if found.counts[state])
    return f"{path}: {counts or 'empty'}"


def _status(delivered: Delivered, kinds: Kinds) -> ExitStatus:
    if delivered.ending is Ending.ACCOUNT:
        return ExitStatus.ACCOUNT
    if delivered.ending is not Ending.DONE:
        return ExitStatus.LEFT
    return ExitStatus.NOT_ALL if kinds.short else ExitStatus.DONE
