"""Runs one file: reads it, checks it, puts it into an outbox, delivers and reports it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from leadsquared_async import ItemState, LeadSquared, LeadSquaredError, Outbox, QueueMetrics
from leadsquared_async.cli.commands import some_left
from leadsquared_async.cli.connecting import QUICK, Connection
from leadsquared_async.cli.delivering import Delivered, Ending, deliver
from leadsquared_async.cli.durations import seconds_until, spoken
from leadsquared_async.cli.estimate import BulkEstimate, Estimate, bulk_estimate, estimate
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, error_text
from leadsquared_async.cli.fields import NO_SYNC_HOST
from leadsquared_async.cli.files.decoding import Undecodable
from leadsquared_async.cli.files.makers import RowMaker
from leadsquared_async.cli.files.private_files import files_of, without_links
from leadsquared_async.cli.files.spool import Spool
from leadsquared_async.cli.files.tables import STDIN, Reading, Table
from leadsquared_async.cli.findings import lines_text
from leadsquared_async.cli.history import (
    AGAIN,
    FILES,
    SANDBOXES,
    check_instance,
    generation_of,
    instance_at,
    name_in,
    note,
    printable_name,
)  # fmt: skip
from leadsquared_async.cli.putting import put_rows
from leadsquared_async.cli.reports import Outcomes, Reports
from leadsquared_async.cli.row_reader import RowReader, Rows, RowStatus
from leadsquared_async.cli.run_options import STDIN_NAME, RunOptions, default_outbox, is_trial
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.summary import Summary, show_check, show_plan
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.fields import FieldChecker
from leadsquared_async.outbox import check_account
from leadsquared_async.printable import shell_word

__all__ = ["FileRun"]

WITHIN = 10.0
"""Seconds for a call whose answer the run does not need."""
MANY_ROWS = 1000
"""A run of more rows shows its cost and asks first."""


@dataclass(slots=True)
class FileRun:
    """One run with one file; the maker turns its rows into submissions."""

    command: str
    given: str
    maker: RowMaker
    connection: Connection
    terminal: Terminal
    options: RunOptions
    reading: Reading = field(default_factory=Reading)
    stop: Stop = field(default_factory=Stop, init=False)
    since: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    began: float = field(default_factory=monotonic, init=False)
    again: int = field(default=0, init=False)
    file: Path | None = field(init=False)
    name: str = field(init=False)
    origin: str = field(init=False)
    path: Path = field(init=False)
    is_first: bool = field(init=False)

    def __post_init__(self) -> None:
        self.file = None if self.given == STDIN else without_links(Path(self.given))
        self.name = STDIN_NAME if self.file is None else printable_name(Path(self.given))
        self.origin = self.connection.origin
        self.path = self.options.outbox or default_outbox(self.given, self.origin)
        self.is_first = not self.path.exists()

    def send(self) -> ExitStatus:
        """Send the rows and follow each to its outcome, until `--stop-at` if it is given."""
        ends = self.options.stop_at
        with self.stop:
            if ends is not None:
                left = seconds_until(ends, datetime.now(UTC))
                self.stop.after(left, f"--stop-at {ends:%H:%M} is reached")
                self.terminal.say(f"stops at {ends:%H:%M}, in {spoken(left)}")
            return asyncio.run(self._decoded(self._send))

    def check(self) -> ExitStatus:
        """Show the rows that would not be sent; puts nothing."""
        with self.stop:
            return asyncio.run(self._decoded(self._check))

    async def _decoded(self, run: Callable[[], Awaitable[ExitStatus]]) -> ExitStatus:
        """Run; if the file is not UTF-8, ask for its encoding at a terminal, and restart."""
        try:
            return await run()
        except Undecodable as error:
            if self.file is None or not error.candidates:
                raise
            with self.stop.at_once():
                chosen = self.terminal.choose(
                    f"{self.name} is not UTF-8. Which encoding shows these letters correctly?",
                    [(each.encoding, each.characters) for each in error.candidates],
                )
            if chosen is None:
                raise
            self.reading = replace(self.reading, encoding=chosen)
            self.terminal.say(f"to skip this question, pass --encoding {chosen}", "dim")
            return await run()

    async def _check(self) -> ExitStatus:
        async with AsyncExitStack() as stack:
            reports = stack.enter_context(self._reports())
            table, lsq = await self._opened(stack)
            checker = await self._fields(lsq, within=None)
            rows = await self._read(table, checker, None, stack)
            outcomes = await reports.write(table, rows, None, self.maker.attributes)
        self._show_problems(rows)
        fields = None if checker is None else len(checker.fields)
        same = "with the key of another" if self.maker.has_own_keys else "the same as another"
        status = show_check(self.terminal, self.name, rows, outcomes, fields, same=same)
        valid = len(rows.statuses) - rows.findings.rows - rows.count(RowStatus.REPEATED)
        if self.file is not None and valid:
            path = Path(self.given)
            name = f"{path.stem}.rejects.{'jsonl' if table.names is None else 'csv'}"
            rejects = f" --rejects {shell_word(Path(name))}" if rows.findings.rows else ""
            self.terminal.say(f"to send {counted(valid, 'row')}, with the same options:")
            self.terminal.say(f"  leadsquared capture {shell_word(path)}{rejects}")
        return status

    async def _send(self) -> ExitStatus:
        options = self.options
        async with AsyncExitStack() as stack:
            reports = stack.enter_context(self._reports())
            table, lsq = await self._opened(stack)
            reports.check_columns(table)
            self.terminal.say(f"outbox: {self.path}")
            checker = await self._fields(lsq, within=WITHIN)
            outbox = None if self.is_first else await stack.enter_async_context(Outbox(self.path))
            if outbox is not None:
                await check_account(outbox, lsq)
            if outbox is not None and self.file is not None:
                self.name = await name_in(outbox, self.file)
            instance = await instance_at(self.origin)
            rows = await self._read(table, checker, outbox, stack)
            if outbox is not None and instance is not None and not options.again:
                known = rows.count(RowStatus.ACCEPTED, RowStatus.DELIVERED, RowStatus.FAILED)
                await check_instance(outbox, self.path, self.origin, instance, known=known)
            self._show_problems(rows)
            plan = await self._plan(rows, lsq)
            for line in () if plan is None else plan.lines():
                self.terminal.say(line)
            if plan is not None and options.dry_run:
                in_outbox = self._from_before(rows)
                return show_plan(self.terminal, self.name, self.path, rows, plan, in_outbox=in_outbox)
            self._ask(rows)
            delivered, taken_out = Delivered(is_idle=True), 0
            with some_left():
                if outbox is None and rows.count(RowStatus.NEW):
                    outbox = await stack.enter_async_context(Outbox(self.path))
                if outbox is not None:
                    if instance is not None:
                        await note(outbox, SANDBOXES, self.origin, instance)
                    if self.file is not None:
                        await note(outbox, FILES, str(self.file), self.name)
                    await self._note_again(outbox, is_finished=False)
                    taken_out = await self._take_out(outbox, rows)
                    has_own_keys = self.maker.has_own_keys
                    refused = await put_rows(outbox, rows, self.stop, has_own_keys=has_own_keys)
                    refused.show(self.terminal)
                    delivered = await self._deliver(outbox, lsq, rows)
                summary = Summary(
                    name=self.name,
                    path=self.path,
                    command=self.command,
                    excepted=self._excepted(),
                    rows=rows,
                    outcomes=await self._report(reports, table, rows, outbox),
                    delivered=delivered,
                    confirm=not options.no_confirm,
                    taken_out=taken_out,
                    waiting=await _waiting(outbox),
                    seconds=monotonic() - self.began,
                )
                summary.show(self.terminal)
                return summary.status

    def _reports(self) -> Reports:
        options = self.options
        columns = [name.strip() for name in options.out_columns.split(",") if name.strip()]
        given = [] if self.file is None else [Path(self.given)]
        return Reports(options.out, options.rejects, columns, files_of([self.path]), given)

    def _excepted(self) -> str:
        reading = self.reading
        options = {"--skip-rows": reading.skip_rows, "--sheet": reading.sheet}
        names = [name for name, given in options.items() if given]
        return f" except {' and '.join(names)}" if names else ""

    async def _report(self, reports: Reports, table: Table, rows: Rows, outbox: Outbox | None) -> Outcomes:
        """Count the outcomes of all rows; write them too, if the files can be written."""
        attributes = self.maker.attributes
        try:
            return await reports.write(table, rows, outbox, attributes)
        except OSError as error:
            outcomes = await reports.write(table, rows, outbox, attributes, is_written=False)
            outcomes.unwritten = error_text(error)
            return outcomes

    async def _opened(self, stack: AsyncExitStack) -> tuple[Table, LeadSquared]:
        """Open the file and the client; missing keys are reported before the file is read."""
        lsq = await stack.enter_async_context(self.connection.client())
        with self.stop.at_once():
            table = stack.enter_context(Table(self.given, self.reading))
        divider = "tabs" if table.delimiter == "\t" else repr(table.delimiter)
        details = [table.encoding, None if table.delimiter is None else f"delimiter {divider}"]
        details.append(None if table.sheet is None else f'sheet "{table.sheet}"')
        self.terminal.say(f"{self.name}: {', '.join((table.format, *filter(None, details)))}")
        return table, lsq

    async def _fields(self, lsq: LeadSquared, *, within: float | None) -> FieldChecker | None:
        """The account's lead fields; None if they are unknown, which is an error without `within`."""
        if not self.maker.is_checked:
            return None
        why: object = NO_SYNC_HOST
        if self.connection.has_sync_host:
            quick = lsq.with_options(retry=QUICK, deadline=within)
            try:
                return FieldChecker(await self.stop.unless(quick.fields.list()))
            except LeadSquaredError as error:
                if within is None:
                    raise
                why = error
        elif within is None:
            raise CommandFailedError(NO_SYNC_HOST)
        self.terminal.say(f"not checked against the account's lead fields: {why}")
        return None

    async def _read(
        self, table: Table, checker: FieldChecker | None, outbox: Outbox | None, stack: AsyncExitStack
    ) -> Rows:
        self.maker.start(table, checker)
        folder = None if self.options.dry_run else self.path.parent
        spool = stack.enter_context(closing(Spool(self.maker.operation, folder)))
        if self.options.again:
            first = 1, self.since
            self.again, self.since = first if outbox is None else await generation_of(outbox, self.name)
        reader = RowReader(
            maker=self.maker,
            stop=self.stop,
            name=self.name,
            outbox=outbox,
            confirm=not self.options.no_confirm,
            again=f" again {self.again}" if self.again else "",
            since=self.since,
        )
        return await reader.read(table, spool)

    async def _note_again(self, outbox: Outbox, *, is_finished: bool) -> None:
        if self.again:
            await note(outbox, AGAIN, self.name, [self.again, is_finished, self.since.isoformat()])

    async def _plan(self, rows: Rows, lsq: LeadSquared) -> Estimate | BulkEstimate | None:
        """The cost of the run, if it is a dry run or has more than `MANY_ROWS`."""
        options, connection = self.options, self.connection
        to_send = rows.count(RowStatus.NEW, RowStatus.WAITING) + self._from_before(rows)
        to_confirm = rows.count(RowStatus.ACCEPTED)
        if not options.dry_run and to_send + to_confirm <= MANY_ROWS:
            return None
        if self.maker.is_bulk:
            return bulk_estimate(to_send, connection.bulk_limit)
        return estimate(
            to_send=to_send,
            to_confirm=0 if options.no_confirm else to_send + to_confirm,
            limit=connection.limit,
            metrics=await self._metrics(lsq),
            bulk_limit=connection.bulk_limit if self.maker.has_bulk and connection.has_sync_host else None,
        )

    async def _metrics(self, lsq: LeadSquared) -> QueueMetrics | None:
        try:
            quick = lsq.with_options(retry=QUICK, deadline=WITHIN)
            return await self.stop.unless(quick.metrics(operation=self.maker.operation.name))
        except LeadSquaredError as error:
            self.terminal.say(f"the length of LeadSquared's queue is unknown: {error}")
            return None

    def _from_before(self, rows: Rows) -> int:
        """How many rows the outbox sends that are not in the file."""
        return rows.other_pending + (0 if self.options.left_over == "drop" else len(rows.left_over))

    def _ask(self, rows: Rows) -> None:
        """Ask before a large run, and before the first run of a file to a real account."""
        to_send = rows.count(RowStatus.NEW, RowStatus.WAITING)
        is_large = to_send > MANY_ROWS
        is_new = bool(to_send) and self.is_first and not is_trial(self.origin)
        if self.options.yes or not (is_large or is_new):
            return
        with self.stop.at_once():
            answer = self.terminal.ask(f"Send {counted(to_send, 'row')} to {self.origin}?")
        if answer is None:
            why = (
                f"more than {MANY_ROWS:,} rows" if is_large else "the first run of this file to this account"
            )
            raise CommandFailedError(
                f"this is {why} and there is no terminal to confirm it: pass --yes, or --dry-run"
            )
        if not answer:
            raise CommandFailedError("nothing was sent", ExitStatus.LEFT)

    async def _take_out(self, outbox: Outbox, rows: Rows) -> int:
        """Discard pending rows that are no longer in the file, if asked to; returns how many."""
        options = self.options
        if not rows.left_over or options.left_over == "send":
            return 0
        if options.left_over is None:
            question = (
                f"Send {counted(len(rows.left_over), 'row')} of an earlier run as well? No discards them"
            )
            with self.stop.at_once():
                if options.yes or self.terminal.ask(question) is not False:
                    return 0
        return sum([await outbox.discard(row) for row in rows.left_over])

    async def _deliver(self, outbox: Outbox, lsq: LeadSquared, rows: Rows) -> Delivered:
        if (await outbox.snapshot()).oldest is None:
            return Delivered(is_idle=True)
        delivered = await deliver(
            [outbox],
            lsq,
            self.stop,
            self.terminal,
            confirm=not self.options.no_confirm,
            attributes=self.maker.attributes,
            before=rows.count(RowStatus.ACCEPTED),
            ended=rows.count(RowStatus.DELIVERED, RowStatus.FAILED),
        )
        if delivered.ending is Ending.DONE:
            await self._note_again(outbox, is_finished=True)
        return delivered

    def _show_problems(self, rows: Rows) -> None:
        """Show the flaws of rows, and what concerns the file or the outbox."""
        rows.findings.show(self.terminal)
        say = self.terminal.say
        for column, patterns in self.maker.spellings.items():
            local = sum(count for pattern, count in patterns.items() if not pattern.startswith("+"))
            if len(patterns) > 1:
                say(
                    f'column "{column}" has phone numbers in {len(patterns)} formats, and LeadSquared makes '
                    "a lead of each: pass --phone COUNTRY, such as --phone IN, to send one format"
                )
            elif local:
                say(
                    f'column "{column}" has {counted(local, "phone number")} without a country: pass '
                    "--phone COUNTRY, such as --phone IN, to add it"
                )
        for attribute, count in self.maker.unrecognized.items():
            say(f"{attribute}: {counted(count, 'phone number')} not valid for --phone, sent unchanged")
        if rows.unmatched:
            in_mobile = "; LeadSquared does not look in Mobile: map that column to Phone"
            say(
                f"{counted(rows.unmatched, 'row')} without EmailAddress, Phone and ProspectID ("
                f"{lines_text(rows.unmatched_lines, rows.unmatched)}): LeadSquared makes a new lead of each, "
                f"each time it is sent{in_mobile if 'Mobile' in self.maker.attributes else ''}"
            )
        if rows.blank:
            say(f"{counted(rows.blank, 'blank row')} skipped")
        if rows.left_over:
            say(
                f"the outbox holds {counted(len(rows.left_over), 'row')} of an earlier run that this file no "
                "longer has (the file or the options changed): they are sent too, unless you pass "
                "--left-over drop"
            )
        if rows.other_pending:
            others = counted(rows.other_pending, "row")
            say(f"the outbox holds {others} from other sources, which are sent too")


async def _waiting(outbox: Outbox | None) -> int:
    if outbox is None:
        return 0
    counts = (await outbox.snapshot()).counts
    return counts[ItemState.PENDING] + counts[ItemState.SENDING]
