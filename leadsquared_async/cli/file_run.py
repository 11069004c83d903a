"""A file to LeadSquared: read, checked, put into an outbox, delivered, followed, reported."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from pathlib import Path
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit

from leadsquared_async import (
    ItemState,
    LeadSquared,
    LeadSquaredError,
    Outbox,
    OutboxError,
    QueueMetrics,
)
from leadsquared_async.cli.connecting import QUICK, Connection
from leadsquared_async.cli.delivering import Delivered, Ending, Kinds, deliver
from leadsquared_async.cli.durations import seconds_until, spoken
from leadsquared_async.cli.estimate import BulkEstimate, Estimate, bulk_estimate, estimate
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, some_left, told
from leadsquared_async.cli.fates import Fate, RowReader, Rows
from leadsquared_async.cli.fields import NO_SYNC_HOST
from leadsquared_async.cli.files.decoding import Undecodable
from leadsquared_async.cli.files.makers import RowMaker
from leadsquared_async.cli.files.mapping import Flaw
from leadsquared_async.cli.files.private_files import files_of, without_links
from leadsquared_async.cli.files.spool import Entry, Spool
from leadsquared_async.cli.files.tables import STDIN, Reading, Table
from leadsquared_async.cli.findings import Findings
from leadsquared_async.cli.progress import Progress
from leadsquared_async.cli.reports import Files, Outcomes, Reporter
from leadsquared_async.cli.restarts import check_instance, instance_at, note_instance
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.summary import Summary
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.config import LOOPBACK
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import KeyReused
from leadsquared_async.fields import FieldChecker
from leadsquared_async.outbox import delivering, note_of, put_each, set_note

__all__ = ["FileRun", "RunOptions", "default_outbox", "run_file"]

STDIN_NAME = "leads-from-stdin"
FILES_NOTE, AGAIN_NOTE = "files", "again"
"""Under which an outbox keeps the name that each file has in it, and how often each was sent again."""
WITHIN = 10.0
"""Seconds for a question that the run can do without."""
MANY_ROWS = 1000
"""From which on a run says what it will cost, and asks."""
KEY_REUSED = (
    "its key was used before with other values: give it another key, or leave keys out to send it as a change"
)
DELIMITER_NAMES = {"\t": "tabs"}
KEY_TWICE = "the same key as line {line}, with other values: give it another key, or leave keys out"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run is to do.

    Attributes:
        file: to be read; "-" for standard input.
        reading: how.
        connection: to LeadSquared.
        outbox: that the rows go through; None: the usual one.
        out: where to write what became of each row.
        out_columns: columns of the file that are written there as well.
        rejects: where to write the rows that need fixing.
        confirm: whether to follow rows to their outcome.
        check: whether rows have to fit the account's lead fields.
        again: whether to send once more what was delivered.
        left_over: what to do with rows of an earlier run that the file does not make any more; None: ask, or
            send.
        dry_run: whether to stop before anything is put.
        yes: whether to ask nothing.
    """

    file: str
    reading: Reading
    connection: Connection
    outbox: Path | None = None
    out: Path | None = None
    out_columns: tuple[str, ...] = ()
    rejects: Path | None = None
    confirm: bool = True
    check: bool = True
    again: bool = False
    left_over: Literal["send", "drop"] | None = None
    dry_run: bool = False
    yes: bool = False


def run_file(
    options: RunOptions, maker: RowMaker, terminal: Terminal, command: str, ends: time | None
) -> ExitStatus:
    """Send the rows of a file, until a time of day if there is one.

    Raises:
        As `FileRun.run` does.
    """
    with Stop(ExitStatus.LEFT) as stop:
        if ends is not None:
            left = seconds_until(ends, datetime.now(UTC))
            stop.after(left, f"it is {ends:%H:%M}")
            terminal.say(f"stops at {ends:%H:%M}, in {spoken(left)}")
        return asyncio.run(FileRun(options, maker, terminal, stop, command).run())


def default_outbox(file: str, origin: str) -> Path:
    """The outbox of a file: beside it, and another one for trials on this machine."""
    path = Path(file)
    if path.is_symlink():  # one file has one outbox, whichever link it is named by
        path = without_links(path)
    if file == STDIN or not path.is_file():
        path = Path(STDIN_NAME)
    trial = ".sandbox" if _is_trial(origin) else ""
    return path.with_name(f"{path.name}{trial}.outbox")


def _is_trial(origin: str) -> bool:
    return urlsplit(origin).hostname in LOOPBACK


class FileRun:
    """One run with one file.

    Args:
        options: what to do.
        maker: makes of each row what is sent.
        terminal: shows what happens.
        stop: ends the run early.
        command: its name, for advice.
    """

    def __init__(
        self, options: RunOptions, maker: RowMaker, terminal: Terminal, stop: Stop, command: str
    ) -> None:
        self._options = options
        self._maker = maker
        self._terminal = terminal
        self._stop = stop
        self._command = command
        self._origin = options.connection.origin
        self._path = options.outbox or default_outbox(options.file, self._origin)
        self._is_first = not self._path.exists()
        self._name = STDIN_NAME if options.file == STDIN else _printable_name(options.file)
        self._again = 0
        self._began = monotonic()

    async def check(self) -> ExitStatus:
        """Show what would be refused, and put nothing.

        Raises:
            CommandFailedError, MappingError, Unreadable, LeadSquaredError, OSError: it cannot begin.
            Interrupted: a stop was asked for.
        """
        return await self._decoded(self._check)

    async def run(self) -> ExitStatus:
        """Send the rows, each to its outcome.

        Raises:
            CommandFailedError, MappingError, Unreadable, LeadSquaredError, OSError: nothing was sent.
            Interrupted: before anything was sent.
        """
        return await self._decoded(self._run)

    async def _decoded(self, run: Callable[[], Awaitable[ExitStatus]]) -> ExitStatus:
        """Run; if the file is not UTF-8, ask for its encoding at a terminal, and run again."""
        try:
            return await run()
        except Undecodable as error:
            options = self._options
            if options.file == STDIN or not error.candidates:
                raise
            with self._stop.at_once():
                chosen = self._terminal.choose(
                    f"{self._name} is not UTF-8. In which encoding are these letters right?",
                    [(each.encoding, each.characters) for each in error.candidates],
                )
            if chosen is None:
                raise
            self._options = replace(options, reading=replace(options.reading, encoding=chosen))
            self._terminal.say(f"not asked the next time with --encoding {chosen}", "dim")
            return await run()

    async def _check(self) -> ExitStatus:
        async with AsyncExitStack() as stack:
            files = stack.enter_context(self._files())
            table, lsq = await self._opened(stack)
            checker = await self._fields(lsq, within=None)
            rows = await self._read(table, checker, None, stack)
            outcomes = await Reporter(table, files, self._maker.attributes).report(rows, None, {})
        status = ExitStatus.NOT_ALL if rows.findings.rows else ExitStatus.DONE
        self._terminal.findings(rows.findings)
        if outcomes.rejects is not None:
            self._terminal.say(f"{outcomes.rejects} holds the rows that need fixing, each with its reason")
        self._advise(rows)
        refused = (
            f"{rows.findings.rows:,} would be refused" if rows.findings.rows else "none would be refused"
        )
        against = "" if checker is None else f" against {counted(len(checker.fields), 'lead field')}"
        self._terminal.result(
            f"{self._name}: {counted(len(rows.fates), 'row')}{against}, {refused}",
            {
                "input": self._name,
                "rows": len(rows.fates),
                "blank": rows.blank,
                "flawed": rows.findings.rows,
                "fields": None if checker is None else len(checker.fields),
                "problems": [finding.data() for finding in rows.findings],
                "rejects": None if outcomes.rejects is None else str(outcomes.rejects),
                "exit": int(status),
            },
            "bold",
        )
        if self._options.file != STDIN and (right := len(rows.fates) - rows.findings.rows):
            path = Path(self._options.file)
            name = f"{path.stem}.rejects.{'jsonl' if table.names is None else 'csv'}"
            rejects = f" --rejects {shlex.quote(name)}" if rows.findings.rows else ""
            self._terminal.say(f"to send {counted(right, 'row')}, with the same options:")
            self._terminal.say(f"  leadsquared capture {shlex.quote(str(path))}{rejects}")
        return status

    async def _run(self) -> ExitStatus:
        options = self._options
        async with AsyncExitStack() as stack:
            files = stack.enter_context(self._files())
            table, lsq = await self._opened(stack)
            self._terminal.say(f"outbox: {self._path}")
            checker = await self._fields(lsq, within=WITHIN) if options.check else None
            outbox = None if self._is_first else await stack.enter_async_context(Outbox(self._path))
            if outbox is not None:
                self._name = await self._name_in(outbox)
            instance = await instance_at(self._origin)
            rows = await self._read(table, checker, outbox, stack)
            if not options.again:
                known = rows.count(Fate.ACCEPTED, Fate.DELIVERED, Fate.FAILED)
                await check_instance(outbox, self._path, self._origin, instance, known=known)
            self._terminal.findings(rows.findings)
            self._advise(rows)
            plan = await self._plan(rows, lsq)
            if plan is not None:
                for line in plan.lines():
                    self._terminal.say(line)
                if options.dry_run:
                    return self._show_plan(rows, plan)
            self._ask(rows)
            reused, delivered, taken_out = dict[int, str](), Delivered(Ending.DONE, is_idle=True), 0
            reporter = Reporter(table, files, self._maker.attributes)
            with some_left():
                if outbox is None and rows.count(Fate.NEW):
                    outbox = await stack.enter_async_context(Outbox(self._path))
                if outbox is not None:
                    await note_instance(outbox, self._origin, instance)
                    await self._note_name(outbox)
                    await self._note_generation(outbox, is_finished=False)
                    taken_out = await self._take_out(outbox, rows)
                    reused = await self._put(outbox, rows)
                    delivered = await self._deliver(outbox, lsq, rows)
                outcomes = await self._report(reporter, rows, outbox, reused)
                summary = Summary(
                    name=self._name,
                    path=self._path,
                    command=self._command,
                    outcomes=outcomes,
                    delivered=delivered,
                    confirm=options.confirm,
                    before=rows.count(Fate.DELIVERED),
                    ended=rows.count(Fate.DELIVERED, Fate.FAILED),
                    repeated=rows.count(Fate.REPEATED),
                    blank=rows.blank,
                    left_over=len(rows.left_over),
                    taken_out=taken_out,
                    waiting=await _waiting(outbox),
                    seconds=monotonic() - self._began,
                )
                summary.show(self._terminal)
                return summary.status

    async def _report(
        self, reporter: Reporter, rows: Rows, outbox: Outbox | None, reused: dict[int, str]
    ) -> Outcomes:
        """What became of each row, written if that is possible."""
        try:
            return await reporter.report(rows, outbox, reused)
        except OSError as error:
            outcomes = await reporter.report(rows, outbox, reused, write=False)
            outcomes.unwritten = told(error)
            return outcomes

    async def _opened(self, stack: AsyncExitStack) -> tuple[Table, LeadSquared]:
        """The file and the client; a missing key is known before the file is read."""
        lsq = await stack.enter_async_context(self._options.connection.client())
        with self._stop.at_once():
            table = stack.enter_context(Table(self._options.file, self._options.reading))
        details = [
            table.encoding,
            None
            if table.delimiter is None
            else f"divided by {DELIMITER_NAMES.get(table.delimiter, repr(table.delimiter))}",
        ]
        details.append(None if table.sheet is None else f'sheet "{table.sheet}"')
        self._terminal.say(f"{self._name}: {', '.join((table.format, *filter(None, details)))}")
        return table, lsq

    async def _fields(self, lsq: LeadSquared, *, within: float | None) -> FieldChecker | None:
        """What the account's lead fields are; None if the run goes on without."""
        if not self._maker.takes_leads:
            return None
        why: object = NO_SYNC_HOST
        if self._options.connection.has_sync_host:
            quick = lsq.with_options(retry=QUICK, deadline=within)
            try:
                return FieldChecker(await self._stop.unless(quick.fields.list()))
            except LeadSquaredError as error:
                if within is None:
                    raise
                why = error
        elif within is None:
            raise CommandFailedError(NO_SYNC_HOST)
        self._terminal.say(f"not checked against the account's lead fields: {why}")
        return None

    # Reading

    async def _read(
        self,
        table: Table,
        checker: FieldChecker | None,
        outbox: Outbox | None,
        stack: AsyncExitStack,
    ) -> Rows:
        self._maker.start(table, checker)
        folder = None if self._options.dry_run else self._path.parent
        spool = stack.enter_context(closing(Spool(self._maker.operation, folder)))
        again = await self._generation(outbox) if self._options.again and outbox is not None else 0
        self._again = again
        reader = RowReader(
            self._maker,
            self._stop,
            self._name,
            outbox,
            confirm=self._options.confirm,
            again=f" again {again}" if again else "",
        )
        return await reader.read(table, spool)

    async def _generation(self, outbox: Outbox) -> int:
        """Which time a file is sent again: the last one, if that was not finished, else the next."""
        noted: dict[str, tuple[int, bool]] = await self._noted(outbox, AGAIN_NOTE)
        number, is_finished = noted.get(self._name, (0, True))
        return number + is_finished

    async def _note_generation(self, outbox: Outbox, *, is_finished: bool) -> None:
        if self._again:
            noted = await self._noted(outbox, AGAIN_NOTE)
            await set_note(outbox, AGAIN_NOTE, json.dumps({**noted, self._name: (self._again, is_finished)}))

    async def _noted(self, outbox: Outbox, name: str) -> dict[str, Any]:
        noted: dict[str, Any] = json.loads(await note_of(outbox, name) or "{}")
        return noted

    # Asking

    async def _plan(self, rows: Rows, lsq: LeadSquared) -> Estimate | BulkEstimate | None:
        """What the run will cost, if it is long enough to be worth a question, or a dry run."""
        options, connection = self._options, self._options.connection
        to_send = rows.count(Fate.NEW, Fate.WAITING) + self._from_before(rows)
        to_confirm = rows.count(Fate.ACCEPTED)
        if not options.dry_run and to_send + to_confirm <= MANY_ROWS:
            return None
        if self._maker.is_bulk:
            return bulk_estimate(to_send, connection.bulk_limit)
        return estimate(
            to_send=to_send,
            to_confirm=to_send + to_confirm if options.confirm else 0,
            limit=connection.limit,
            metrics=await self._metrics(lsq),
            bulk_limit=connection.bulk_limit if self._maker.has_bulk and connection.has_sync_host else None,
        )

    async def _metrics(self, lsq: LeadSquared) -> QueueMetrics | None:
        try:
            quick = lsq.with_options(retry=QUICK, deadline=WITHIN)
            return await self._stop.unless(quick.metrics(operation=self._maker.operation.name))
        except LeadSquaredError as error:
            self._terminal.say(f"LeadSquared did not say how long its queue is: {error}")
            return None

    def _from_before(self, rows: Rows) -> int:
        """Rows that the file does not make and that go out of the outbox as well."""
        return rows.others + (0 if self._options.left_over == "drop" else len(rows.left_over))

    def _ask(self, rows: Rows) -> None:
        """See that somebody wants a run that is large, or the first one of a file to a real account.

        Raises:
            CommandFailedError: nobody does.
        """
        options = self._options
        to_send = rows.count(Fate.NEW, Fate.WAITING)
        is_large = to_send > MANY_ROWS
        is_new = bool(to_send) and self._is_first and not _is_trial(self._origin)
        if options.yes or not (is_large or is_new):
            return
        with self._stop.at_once():
            answer = self._terminal.ask(f"Send {counted(to_send, 'row')} to {self._origin}?")
        if answer is None:
            why = (
                f"more than {MANY_ROWS:,} rows" if is_large else "the first run of this file to this account"
            )
            raise CommandFailedError(
                f"this is {why}, and there is no terminal to ask: pass --yes to send, or --dry-run"
            )
        if not answer:
            raise CommandFailedError("nothing was sent", ExitStatus.LEFT)

    # Sending

    async def _take_out(self, outbox: Outbox, rows: Rows) -> int:
        """Rows of an earlier run that are not wanted any more; returns how many were taken out."""
        options = self._options
        if not rows.left_over or options.left_over == "send":
            return 0
        if options.left_over is None:
            with self._stop.at_once():
                question = (
                    f"Send {counted(len(rows.left_over), 'row')} of an earlier run as well? No takes them out"
                )
                if options.yes or self._terminal.ask(question) is not False:
                    return 0
        taken = [await outbox.discard(row) for row in rows.left_over]
        return sum(taken)

    async def _put(self, outbox: Outbox, rows: Rows) -> dict[int, str]:
        """Put what is new; returns for the lines whose keys are of other leads why they are refused."""
        reused, findings, index = dict[int, str](), Findings(), 0
        for piece in rows.spool.pieces():
            self._stop.check()
            fates = rows.fates[index : index + len(piece)]
            wanted = dict[int, Entry]()
            submissions = list[tuple[EncodedSubmission, str]]()
            for position, (entry, fate) in enumerate(zip(piece, fates, strict=True), start=index):
                # A key that is known may stand for other values now, if it is the user's own.
                if fate in {Fate.NEW, Fate.REPEATED} or (self._maker.has_own_keys and fate > Fate.NEW):
                    assert entry.submission is not None
                    assert entry.outbox_key is not None
                    wanted[position] = entry
                    submissions.append((entry.submission, entry.outbox_key))
            index += len(piece)
            answers = await put_each(outbox, submissions)
            for (position, entry), answer in zip(wanted.items(), answers, strict=True):
                if (
                    isinstance(answer, KeyReused)
                    and (why := await self._reused(outbox, entry, rows)) is not None
                ):
                    rows.fates[position] = Fate.REFUSED
                    reused[entry.row.line] = why
                    findings.add(entry.row.line, (Flaw("", why),))
        self._terminal.findings(findings)
        return reused

    async def _reused(self, outbox: Outbox, entry: Entry, rows: Rows) -> str | None:
        """Why a row whose key is of another lead is refused; None if it replaces one that was rejected."""
        key = entry.outbox_key
        assert entry.key is not None
        assert entry.submission is not None
        assert key is not None
        first = rows.first_line_with(entry.key)
        if first != entry.row.line:
            return KEY_TWICE.format(line=first)
        if entry.flaws:
            return str(entry.flaws[0])
        item = (await outbox.find([key])).get(key)
        if item is not None and item.state is ItemState.REJECTED and await outbox.discard(item):
            await put_each(outbox, [(entry.submission, key)])
            return None
        return KEY_REUSED

    async def _deliver(self, outbox: Outbox, lsq: LeadSquared, rows: Rows) -> Delivered:
        if (await outbox.snapshot()).oldest is None:
            return Delivered(Ending.DONE, is_idle=True)
        kinds = Kinds(self._maker.attributes)
        outbox.on_final(kinds.note)
        follows = self._options.confirm and not self._maker.is_bulk
        progress = Progress(
            self._terminal,
            kinds.counts,
            confirm=follows,
            before=rows.count(Fate.ACCEPTED),
            ended=rows.count(Fate.DELIVERED, Fate.FAILED),
        )
        try:
            async with delivering(outbox, lsq, confirm=self._options.confirm):
                with progress:
                    delivered = await deliver([outbox], self._stop, progress, confirm=follows)
                if delivered.ending is Ending.STOPPED:
                    self._terminal.say(
                        f"{delivered.why}: finishing what is on its way; Ctrl-C again leaves at once"
                    )
        except (OutboxError, OSError) as error:
            delivered = Delivered(Ending.STUCK, told(error) if isinstance(error, OSError) else str(error))
        if delivered.ending is Ending.DONE:
            await self._note_generation(outbox, is_finished=True)
        return replace(delivered, short=kinds.short)

    # The file's place in the outbox

    async def _name_in(self, outbox: Outbox) -> str:
        """What references call the file: its name, with a number if another file of that name was first."""
        if self._options.file == STDIN:
            return self._name
        path = str(without_links(Path(self._options.file)))
        names: dict[str, str] = await self._noted(outbox, FILES_NOTE)
        taken = {name for place, name in names.items() if place != path}
        number, name = 1, self._name
        while name in taken:
            number += 1
            name = f"{self._name} ({number})"
        return names.get(path, name)

    async def _note_name(self, outbox: Outbox) -> None:
        if self._options.file != STDIN:
            path = str(without_links(Path(self._options.file)))
            names = await self._noted(outbox, FILES_NOTE)
            if names.get(path) != self._name:
                await set_note(outbox, FILES_NOTE, json.dumps({**names, path: self._name}))

    def _files(self) -> Files:
        """What the run writes at its end."""
        options = self._options
        given = [] if options.file == STDIN else [Path(options.file)]
        return Files(options.out, options.rejects, options.out_columns, files_of([self._path]), given)

    # Advice

    def _advise(self, rows: Rows) -> None:
        """What the reading has shown that is no fault of a row."""
        say = self._terminal.say
        for column, patterns in self._maker.spellings.items():
            if len(patterns) > 1:
                say(
                    f'column "{column}" spells phone numbers in {len(patterns)} ways, and LeadSquared makes '
                    "two leads of two spellings: pass --phone COUNTRY, such as --phone IN, to send one"
                )
        if rows.blank:
            say(f"{counted(rows.blank, 'blank row')} skipped")
        if rows.left_over:
            say(
                f"the outbox holds {counted(len(rows.left_over), 'row')} of an earlier run that this file no "
                "longer has (the file or the options were changed): --left-over drop takes them out, else "
                "they are sent"
            )
        if rows.others:
            say(f"the outbox holds {counted(rows.others, 'row')} from elsewhere, which are sent as well")

    def _show_plan(self, rows: Rows, plan: Estimate | BulkEstimate) -> ExitStatus:
        status = ExitStatus.NOT_ALL if rows.findings.rows else ExitStatus.DONE
        data = {
            "input": self._name,
            "outbox": str(self._path),
            "dry_run": True,
            "rows": len(rows.fates),
            "to_send": rows.count(Fate.NEW, Fate.WAITING),
            "to_confirm": rows.count(Fate.ACCEPTED),
            "ended_before": rows.count(Fate.DELIVERED, Fate.FAILED),
            "refused": rows.count(Fate.REFUSED),
            "repeated": rows.count(Fate.REPEATED),
            "left_over": len(rows.left_over),
            "others_pending": rows.others,
            "estimate": plan.data(),
            "exit": int(status),
        }
        text = f"{self._name}: nothing was sent, {counted(plan.submissions, 'row')} would be"
        if before := self._from_before(rows):
            text += f", {before:,} of which the outbox holds from before"
        self._terminal.result(text, data)
        return status


def _printable_name(path: str) -> str:
    """The file's name as SQLite and a terminal take it."""
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


async def _waiting(outbox: Outbox | None) -> int:
    """How many rows of an outbox are still to be sent."""
    if outbox is None:
        return 0
    counts = (await outbox.snapshot()).counts
    return counts[ItemState.PENDING] + counts[ItemState.SENDING]
