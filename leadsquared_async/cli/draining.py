"""`leadsquared outbox drain`: delivers the rows that outbox files still hold."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated

from leadsquared_async import ItemState, Outbox, OutboxSnapshot
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.delivering import Delivered, Ending, Kinds, deliver
from leadsquared_async.cli.durations import seconds_of, spoken
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.options import BulkRate, NoConfirm, OutboxFiles, option
from leadsquared_async.cli.outboxes import check_files, counts_of
from leadsquared_async.cli.progress import Progress
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.printable import one_line

__all__ = ["drain"]


def drain(
    files: OutboxFiles,
    connection: Connection,
    terminal: Terminal,
    within: Annotated[
        float | None,
        option("--for DURATION", "Stop gracefully after this time, such as 10m.", parse=seconds_of),
    ] = None,
    until_empty: Annotated[
        bool, option("--until-empty", "Keep retrying on account-level errors, such as the daily quota.")
    ] = False,
    no_confirm: NoConfirm = False,
    bulk_rate: BulkRate = None,
) -> ExitStatus:
    """Deliver the open rows of outbox files, until none is left or the account rejects all calls.

    The exit status is the same as for `leadsquared capture`.

    Example: leadsquared outbox drain leads.csv.outbox --for 10m
    """
    check_files(files)
    confirm, kinds = not no_confirm, Kinds()

    async def run(stop: Stop) -> tuple[Delivered, list[OutboxSnapshot]]:
        async with replace(connection, bulk_rate=bulk_rate).client() as lsq, AsyncExitStack() as stack:
            outboxes = [Outbox(path, lsq, confirm=confirm) for path in files]
            for outbox in outboxes:
                outbox.on_final(kinds.note)
                await stack.enter_async_context(outbox)
            with Progress(terminal, kinds.counts, confirm=confirm) as progress:
                delivered = await deliver(outboxes, stop, progress, confirm=confirm, gives_up=not until_empty)
            if delivered.ending is Ending.STOPPED:
                terminal.say(f"{delivered.why}: waiting for calls in flight; press Ctrl-C again to exit now")
        snapshots = list[OutboxSnapshot]()
        for path in files:
            async with Outbox(path) as outbox:
                snapshots.append(await outbox.snapshot())
        return delivered, snapshots

    with Stop(ExitStatus.LEFT) as stop:
        if within is not None:
            stop.after(within, f"--for {spoken(within)} has passed")
        delivered, snapshots = asyncio.run(run(stop))
    if delivered.why is not None:
        terminal.say(f"stopped: {delivered.why.rstrip('.')}; to continue, run the same command again")
    status = delivered.status or (ExitStatus.NOT_ALL if kinds.failed else ExitStatus.DONE)
    data = {
        "outboxes": [
            {"file": str(path), **counts_of(found)} for path, found in zip(files, snapshots, strict=True)
        ],
        "rejected_by_kind": dict(kinds.counts),
        "ending": delivered.ending.value,
        "why": delivered.why,
        "exit": int(status),
    }
    lines = [
        f"{one_line(path)}: "
        + (
            ", ".join(f"{state} {found.counts[state]:,}" for state in ItemState if found.counts[state])
            or "empty"
        )
        for path, found in zip(files, snapshots, strict=True)
    ]
    terminal.result("\n".join(lines), data)
    return status
