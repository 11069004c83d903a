"""`leadsquared outbox drain`: delivers the rows that outbox files still hold."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated

from leadsquared_async import Outbox, OutboxSnapshot
from leadsquared_async.cli.commands import some_left
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.delivering import Delivered, deliver
from leadsquared_async.cli.durations import seconds_of, spoken
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.options import BulkRate, NoConfirm, OutboxFiles, option
from leadsquared_async.cli.outboxes import check_files, counts_of, counts_text
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.outbox import check_account
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

    async def run(stop: Stop) -> tuple[Delivered, list[OutboxSnapshot]]:
        async with replace(connection, bulk_rate=bulk_rate).client() as lsq, AsyncExitStack() as stack:
            outboxes = [await stack.enter_async_context(Outbox(path)) for path in files]
            for outbox in outboxes:
                await check_account(outbox, lsq)
            delivered = await deliver(
                outboxes, lsq, stop, terminal, confirm=not no_confirm, gives_up=not until_empty
            )
            with some_left():
                return delivered, [await outbox.snapshot() for outbox in outboxes]

    with Stop() as stop:
        if within is not None:
            stop.after(within, f"--for {spoken(within)} has passed")
        delivered, snapshots = asyncio.run(run(stop))
    if delivered.why is not None:
        terminal.say(f"stopped: {delivered.why.rstrip('.')}; to continue, run the same command again")
    found = list(zip(files, snapshots, strict=True))
    terminal.result(
        "\n".join(f"{one_line(path)}: {counts_text(snapshot.counts)}" for path, snapshot in found),
        {
            "outboxes": [{"file": str(path), **counts_of(snapshot)} for path, snapshot in found],
            "rejected_by_kind": dict(delivered.kinds),
            "ending": delivered.ending.value,
            "why": delivered.why,
            "exit": int(delivered.status),
        },
    )
    return delivered.status
