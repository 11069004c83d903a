"""`leadsquared capture`: the rows of a file to LeadSquared, through an outbox, each to its outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from leadsquared_async import ItemState, LeadSquaredError, Outbox, OutboxError, QueueMetrics
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.delivering import Delivered, Ending, Kinds, deliver
from leadsquared_async.cli.durations import seconds_until, spoken
from leadsquared_async.cli.estimate import BulkEstimate, Estimate, bulk_estimate, estimate
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, some_left, told
from leadsquared_async.cli.fields import checker_of
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.private_files import files_of, without_links
from leadsquared_async.cli.files.source import STDIN, Reading, Source
from leadsquared_async.cli.outboxes import outbox_if_there
from leadsquared_async.cli.progress import Progress
from leadsquared_async.cli.putting import Checked, Put, Refusals, check, put, withdraw
from leadsquared_async.cli.reports import Files, Outcomes, report
from leadsquared_async.cli.restarts import check_instance, instance_at, note_instance
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.summary import Summary
from leadsquared_async.cli.talk import Talk
from leadsquared_async.cli.wording import rows
from leadsquared_async.config import LOOPBACK
from leadsquared_async.fields import FieldProblem
from leadsquared_async.printable import one_line
from leadsquared_async.submissions import UpdateBehavior

__all__ = ["CaptureOptions", "default_outbox", "run_capture"]

WORTH_AN_ESTIMATE = 1000
METRICS_WITHIN = 10.0
FIELDS_WITHIN = 10.0
STDIN_OUTBOX = "leads-from-stdin.outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """What the command was told.

    Attributes:
        file: to be read; "-" for standard input.
        reading: how.
        mapping: how rows become leads.
        update_behavior: what to leave alone on leads that are found.
        connection: to LeadSquared.
        outbox: that the rows go through; None for the usual one.
        out: where to write what became of each row.
        rejects: where to write the rows to be mended.
        confirm: whether to follow leads to their outcome.
        bulk: whether they go in bulk calls, whose answers are their outcomes.
        check: whether rows have to fit the account's lead fields.
        partial: whether the leads are there already, so that they lack nothing.
        dry_run: whether to check and estimate only.
        stop_at: when to stop, on the machine's clock.
        left_over: what to do with rows of an earlier run that the input does not make; None: ask, or send.
        yes: whether to ask nothing.
    """

    file: str
    reading: Reading
    mapping: LeadMapping
    update_behavior: UpdateBehavior | None
    connection: Connection
    outbox: Path | None
    out: Path | None
    rejects: Path | None
    confirm: bool
    bulk: bool
    check: bool
    partial: bool
    dry_run: bool
    stop_at: time | None
    left_over: Literal["send", "drop"] | None
    yes: bool

    @property
    def follows(self) -> bool:
        """Whether its rows have an outcome that is to be asked for."""
        return self.confirm and not self.bulk


def default_outbox(file: str, origin: str) -> Path:
    """The outbox of an input: beside the file, and another one for trials on this machine."""
    path = Path(file)
    if path.is_symlink():  # one input has one outbox, whichever link it is named by
        path = without_links(path)
    if file == STDIN or not path.is_file():
        path = Path(STDIN_OUTBOX.removesuffix(".outbox"))
    trial = ".sandbox" if urlsplit(origin).hostname in LOOPBACK else ""
    return path.with_name(f"{path.name}{trial}.outbox")


def run_capture(options: CaptureOptions, talk: Talk) -> ExitStatus:
    """Run the command.

    Raises:
        CommandFailedError, Refused, Unreadable, LeadSquaredError, OSError: it cannot begin.
        Interrupted: before anything was sent.
    """
    with Stop(ExitStatus.LEFT) as stop:
        if options.stop_at is not None:
            left = seconds_until(options.stop_at, datetime.now(UTC))
            stop.after(left, f"it is {options.stop_at:%H:%M}")
            talk.say(f"stops at {options.stop_at:%H:%M}, in {spoken(left)}")
        return asyncio.run(_Capture(options, talk, stop).run())


class _Capture:
    def __init__(self, options: CaptureOptions, talk: Talk, stop: Stop) -> None:
        self._options = options
        self._talk = talk
        self._stop = stop
        self._path = options.outbox or default_outbox(options.file, options.connection.origin)
        self._instance: str | None = None

    async def run(self) -> ExitStatus:
        options, others = self._options, files_of([self._path])
        if options.file != STDIN:
            others.append(Path(options.file))
        options.connection.client()  # a missing key is known before the file is read
        if options.bulk and not options.connection.has_sync_host:
            raise CommandFailedError(
                "--bulk goes to the synchronous host, which is not known: pass --region, or set "
                "LEADSQUARED_REGION, or LEADSQUARED_SYNC_HOST beside LEADSQUARED_HOST"
            )
        folder = None if options.dry_run else self._path.parent
        with (
            Files(options.out, options.rejects, others) as files,
            Source(
                options.file,
                options.reading,
                options.mapping,
                update_behavior=options.update_behavior,
                host=options.connection.origin,
                folder=folder,
                stop=self._stop,
                bulk=options.bulk,
            ) as source,
        ):
            self._tell_of(source)
            source.check = await self._fields()
            checked = await self._check(source)
            plan = await self._estimate(checked)
            if options.dry_run:
                return self._dry(source, checked, plan)
            if plan is not None and not options.yes and not self._ask("Send them?"):
                self._talk.say("nothing was sent")
                return ExitStatus.LEFT
            done, delivered = Put(), Delivered(Ending.DONE, is_idle=True)
            with some_left():
                if checked.to_send or self._path.exists():  # else nothing is worth a file
                    done = await self._put(source, checked)
                    delivered = await self._delivered(source)
                outcomes = await self._report(source, files, done)
                return await self._summarise(source, outcomes, checked, done, delivered)

    def _ask(self, question: str) -> bool:
        with self._stop.at_once():
            return self._talk.ask(question)

    async def _fields(self) -> Callable[[Mapping[str, Any]], tuple[FieldProblem, ...]] | None:
        """What the account's lead fields say against a lead; None if they are not known."""
        options = self._options
        if not options.check:
            return None
        try:
            checker = await checker_of(options.connection, self._stop, within=FIELDS_WITHIN)
        except (CommandFailedError, LeadSquaredError) as error:
            self._talk.say(f"not checked against the account's lead fields: {error}")
            return None
        return partial(checker.check, partial=options.partial or options.mapping.search_by is not None)

    def _tell_of(self, source: Source) -> None:
        table = source.table
        guess = ", a guess: pass --encoding if names look wrong" if table.encoding_is_guessed else ""
        divided = "" if table.delimiter is None else f", divided by {table.delimiter!r}"
        self._talk.say(f"{source.name}: {table.format} in {table.encoding}{guess}{divided}")
        self._talk.say(f"outbox: {self._path}")

    def _tell_refusals(self, refused: Refusals) -> None:
        for flaw in refused.told():
            self._talk.say(f"cannot be sent: {flaw}")

    async def _check(self, source: Source) -> Checked:
        origin = self._options.connection.origin
        self._instance = await instance_at(origin)
        async with outbox_if_there(self._path) as outbox:
            checked = await check(source, outbox, self._stop, confirm=self._options.confirm)
            known = checked.before + checked.to_confirm
            await check_instance(outbox, self._path, origin, self._instance, known=known)
        self._tell_refusals(checked.refused)
        if checked.unfit:
            self._talk.say(
                f"{rows(checked.unfit)} of these do not fit the account's lead fields: `leadsquared check` "
                "tells in what; --map COLUMN=NAME or --ignore COLUMN is for a column that is no field, "
                "--partial for leads that are there already; --no-check sends all the same"
            )
        if checked.left_over:
            self._talk.say(
                f"the outbox holds {rows(len(checked.left_over))} of an earlier run with {source.name} "
                "that this one does not make (the file or the options were changed): sent as well, unless "
                "--left-over drop takes them out"
            )
        if checked.others:
            self._talk.say(f"the outbox holds {rows(checked.others)} from elsewhere, to be sent as well")
        return checked

    async def _estimate(self, checked: Checked) -> Estimate | BulkEstimate | None:
        """What the run will cost, if it is long enough to be worth a question, or a dry run."""
        options = self._options
        to_send = checked.to_send + self._from_before(checked)
        if not options.dry_run and to_send + checked.to_confirm <= WORTH_AN_ESTIMATE:
            return None
        plan: Estimate | BulkEstimate
        if options.bulk:
            plan = bulk_estimate(to_send, options.connection.bulk_limit)
        else:
            has_a_choice = options.update_behavior is None and options.connection.has_sync_host
            plan = estimate(
                to_send=to_send,
                to_confirm=to_send + checked.to_confirm if options.confirm else 0,
                limit=options.connection.limit,
                metrics=await self._metrics(),
                bulk_limit=options.connection.bulk_limit if has_a_choice else None,
            )
        said = [
            f"{rows(checked.rows)}: {checked.to_send:,} to send",
            f"{checked.to_confirm:,} to confirm",
            f"{checked.before:,} ended in an earlier run",
            f"{checked.refusals:,} cannot be sent",
        ]
        if checked.repeats:
            said.append(f"{checked.repeats:,} {self._repeats}")
        if before := self._from_before(checked):
            said.append(f"and {before:,} more in the outbox to send")
        self._talk.say(", ".join(said))
        for line in plan.lines():
            self._talk.say(line)
        return plan

    @property
    def _repeats(self) -> str:
        """What is said of rows with the key of another: only keys of one's own may be of two leads."""
        is_own = self._options.mapping.key_column is not None
        return "with the key of another" if is_own else "the same as another"

    def _from_before(self, checked: Checked) -> int:
        """Rows that the input does not make and that go out of the outbox as well."""
        return checked.others + (0 if self._options.left_over == "drop" else len(checked.left_over))

    async def _metrics(self) -> QueueMetrics | None:
        try:
            async with self._options.connection.client(quick=True) as lsq:
                return await self._stop.unless(lsq.with_options(deadline=METRICS_WITHIN).leads.metrics())
        except LeadSquaredError as error:
            self._talk.say(f"LeadSquared did not tell its queue: {error}")
            return None

    def _dry(self, source: Source, checked: Checked, plan: Estimate | BulkEstimate | None) -> ExitStatus:
        status = ExitStatus.NOT_ALL if checked.refusals else ExitStatus.DONE
        assert plan is not None
        data: dict[str, Any] = {
            "input": source.name,
            "outbox": str(self._path),
            "dry_run": True,
            "rows": checked.rows,
            "to_send": checked.to_send,
            "to_confirm": checked.to_confirm,
            "ended_before": checked.before,
            "refused": checked.refusals,
            "repeated": checked.repeats,
            "left_over": len(checked.left_over),
            "others_pending": checked.others,
            "estimate": plan.data(),
            "exit": int(status),
        }
        text = f"{one_line(source.name)}: nothing was sent, {rows(plan.submissions)} would be"
        if before := self._from_before(checked):
            text += f", {before:,} of which the outbox holds from before"
        self._talk.result(text, data)
        return status

    async def _put(self, source: Source, checked: Checked) -> Put:
        options, taken_out = self._options, 0
        async with Outbox(self._path) as outbox:
            await note_instance(outbox, options.connection.origin, self._instance)
            if checked.left_over and self._drops_left_over():
                taken_out = await withdraw(outbox, checked.left_over)
                self._talk.say(f"taken out: {rows(taken_out)} of an earlier run")
            done = await put(
                source,
                outbox,
                self._stop,
                own_keys=options.mapping.key_column is not None,
                confirm=options.confirm,
            )
        done.taken_out = taken_out
        self._tell_refusals(Refusals(done.reused.values()))
        return done

    def _drops_left_over(self) -> bool:
        options = self._options
        if options.left_over is None and not options.yes:
            return not self._ask("Send them as well? No takes them out of the outbox for good")
        return options.left_over == "drop"

    async def _delivered(self, source: Source) -> Delivered:
        try:
            return await self._deliver(source)
        except OutboxError as error:
            return Delivered(Ending.STUCK, str(error))
        except OSError as error:
            return Delivered(Ending.STUCK, told(error))

    async def _deliver(self, source: Source) -> Delivered:
        options = self._options
        async with Outbox(self._path) as outbox:
            if (await outbox.snapshot()).oldest is None:
                return Delivered(Ending.DONE, is_idle=True)
        kinds = Kinds(source.attributes)
        async with options.connection.client() as lsq:
            outbox = Outbox(self._path, lsq, confirm=options.confirm)
            outbox.on_final(kinds.note)
            async with outbox:
                with Progress(self._talk, kinds.counts, confirm=options.follows) as progress:
                    delivered = await deliver([outbox], self._stop, progress, confirm=options.follows)
                if delivered.ending is Ending.STOPPED:
                    self._talk.say(
                        f"{delivered.why}: finishing what is on its way; Ctrl-C again leaves at once"
                    )
        return replace(delivered, short=kinds.short)

    async def _report(self, source: Source, files: Files, done: Put) -> Outcomes:
        async with outbox_if_there(self._path) as outbox:
            try:
                return await self._outcomes(source, outbox, files, done)
            except OSError as error:
                self._talk.say(f"--out and --rejects could not be written: {told(error)}")
            outcomes = await self._outcomes(source, outbox, Files(None, None, ()), done)
        outcomes.is_unwritten = True
        return outcomes

    @staticmethod
    async def _outcomes(source: Source, outbox: Outbox | None, files: Files, done: Put) -> Outcomes:
        return await report(
            source, outbox, files, reused=done.reused, unfit=done.unfit, attributes=source.attributes
        )

    async def _summarise(
        self, source: Source, outcomes: Outcomes, checked: Checked, done: Put, delivered: Delivered
    ) -> ExitStatus:
        counts = Counter[ItemState]()
        async with outbox_if_there(self._path) as outbox:
            if outbox is not None:
                counts.update((await outbox.snapshot()).counts)
        summary = Summary(
            name=source.name,
            outbox=self._path,
            outcomes=outcomes,
            before=done.delivered,
            delivered=delivered,
            confirm=self._options.confirm,
            to_be_sent=counts[ItemState.PENDING] + counts[ItemState.SENDING],
            left_over=len(checked.left_over),
            taken_out=done.taken_out,
            repeats=checked.repeats,
            repeats_are=self._repeats,
        )
        for line in summary.advice():
            self._talk.say(line)
        self._talk.result(summary.text(), summary.data())
        return summary.status
