"""`leadsquared outbox adopt`: lets new keys deliver outbox files."""

from __future__ import annotations

import asyncio

from leadsquared_async import Outbox
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.options import OutboxFiles
from leadsquared_async.cli.outboxes import check_files
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.outbox import adopt as adopt_keys

__all__ = ["adopt"]


def adopt(files: OutboxFiles, connection: Connection, terminal: Terminal) -> ExitStatus:
    """Let new keys deliver outbox files, after both the access key and the x-api-key were replaced.

    An outbox refuses keys if neither the access key nor the x-api-key is the one that delivered its leads:
    they look like those of another account. If they are the new keys of the same account, run this command.
    It sends nothing.

    Example: leadsquared outbox adopt leads.db
    """
    check_files(files)
    client = connection.client()

    async def run() -> None:
        for path in files:
            async with Outbox(path) as outbox:
                await adopt_keys(outbox, client)

    asyncio.run(run())
    terminal.result(
        f"{counted(len(files), 'file')} adopted: the keys that are set can deliver now",
        {"adopted": len(files)},
    )
    return ExitStatus.DONE
