"""`leadsquared submit`: a file of submissions of any operation to LeadSquared, through an outbox."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli.capture import default_outbox
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.delivering import Delivered, Ending
from leadsquared_async.cli.draining import drain
from leadsquared_async.cli.exits import ExitStatus, some_left
from leadsquared_async.cli.files.private_files import files_of
from leadsquared_async.cli.files.source import STDIN
from leadsquared_async.cli.files.submissions import Submissions
from leadsquared_async.cli.outboxes import outbox_if_there
from leadsquared_async.cli.putting import Checked, Put, Refusals, check, put
from leadsquared_async.cli.reports import Files, Outcomes, report
from leadsquared_async.cli.restarts import check_instance, instance_at, note_instance
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.summary import Summary
from leadsquared_async.cli.talk import Talk
from leadsquared_async.cli.wording import rows
from leadsquared_async.operations import operation_named

__all__ = ["SubmitOptions", "run_submit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """What the command was told.

    Attributes:
        operation: its name.
        file: to be read; "-" for standard input.
        connection: to LeadSquared.
        outbox: that the submissions go through; None for the usual one.
        out: where to write what became of each.
        rejects: where to write those to be mended.
        confirm: whether to follow them to their outcome.
    """

    operation: str
    file: str
    connection: Connection
    outbox: Path | None
    out: Path | None
    rejects: Path | None
    confirm: bool


def run_submit(options: SubmitOptions, talk: Talk) -> ExitStatus:
    """Put what the file holds into its outbox, and deliver that.

    Raises:
        CommandFailedError, Unreadable, LeadSquaredError, OSError: it cannot begin.
        Interrupted: before anything was sent.
    """
    operation = operation_named(options.operation)
    options.connection.client()  # a missing key is known before the file is read
    path = options.outbox or default_outbox(options.file, options.connection.origin)
    others = files_of([path]) if options.file == STDIN else [*files_of([path]), Path(options.file)]
    with Stop(ExitStatus.LEFT) as stop, Files(options.out, options.rejects, others) as files:
        source = Submissions(
            options.file, operation, host=options.connection.origin, folder=path.parent, stop=stop
        )
        with source:
            talk.say(f"outbox: {path}")
            put_all = _put(
                source, path, talk, stop, origin=options.connection.origin, confirm=options.confirm
            )
            checked, done = asyncio.run(put_all)
            delivered = Delivered(Ending.DONE, is_idle=True)
            with some_left():
                if path.exists():
                    drained = drain([path], options.connection, talk, confirm=options.confirm)
                    delivered = replace(drained.delivered, short=drained.kinds.short)
                outcomes, to_be_sent = asyncio.run(_report(source, path, files, done))
    summary = Summary(
        name=source.name,
        outbox=path,
        outcomes=outcomes,
        before=done.delivered,
        delivered=delivered,
        confirm=options.confirm,
        to_be_sent=to_be_sent,
        repeats=checked.repeats,
        repeats_are="the same as another, or with its key",
        command=f"submit {operation.name}",
    )
    for line in summary.advice():
        talk.say(line)
    talk.result(summary.text(), summary.data())
    return summary.status


async def _put(
    source: Submissions, path: Path, talk: Talk, stop: Stop, *, origin: str, confirm: bool
) -> tuple[Checked, Put]:
    """Read the whole file, tell what cannot be sent of it, and put the rest."""
    instance = await instance_at(origin)
    async with outbox_if_there(path) as outbox:
        checked = await check(source, outbox, stop, confirm=confirm)
        known = checked.before + checked.to_confirm
        await check_instance(outbox, path, origin, instance, known=known)
        is_there = outbox is not None
    for flaw in checked.refused.told():
        talk.say(f"cannot be sent: {flaw}")
    if others := checked.others + len(checked.left_over):
        talk.say(f"the outbox holds {rows(others)} that the file does not make, to be sent as well")
    if not checked.to_send and not is_there:
        return checked, Put()
    with some_left():
        async with Outbox(path) as outbox:
            await note_instance(outbox, origin, instance)
            done = await put(source, outbox, stop, own_keys=True, confirm=confirm)
    for flaw in Refusals(done.reused.values()).told():
        talk.say(f"cannot be sent: {flaw}")
    return checked, done


async def _report(source: Submissions, path: Path, files: Files, done: Put) -> tuple[Outcomes, int]:
    """What became of each row, and how many of the outbox are still to be sent."""
    async with outbox_if_there(path) as outbox:
        outcomes = await report(source, outbox, files, reused=done.reused)
        if outbox is None:
            return outcomes, 0
        counts = (await outbox.snapshot()).counts
    return outcomes, counts[ItemState.PENDING] + counts[ItemState.SENDING]
