"""`leadsquared status`, `wait` and `metrics`: the outcomes of RequestIDs, and LeadSquared's queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from leadsquared_async import (
    ItemState,
    LeadSquared,
    LeadSquaredError,
    NotFound,
    Outbox,
    QueueMetrics,
    RequestState,
    RequestStatus,
    StillProcessing,
)
from leadsquared_async.cli.commands import INTERRUPTED
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.durations import seconds_of
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, status_of
from leadsquared_async.cli.files.private_files import Draft, files_of, open_private
from leadsquared_async.cli.files.sheets import sheet
from leadsquared_async.cli.files.tables import Reading, Table
from leadsquared_async.cli.options import OfOperation, option
from leadsquared_async.cli.outboxes import check_files
from leadsquared_async.cli.progress import Pace, bars, live
from leadsquared_async.cli.stopping import Interrupted, Stop, run_until_stopped
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.operations import LEADS_CAPTURE, operation_named
from leadsquared_async.printable import one_line
from leadsquared_async.tracking import request_id_of

__all__ = ["metrics", "status", "wait"]

BEGINS = "RequestID,LeadID,Outcome,Reason"
"""How a file of outcomes begins."""
ID_COLUMN, OPERATION_COLUMN = "RequestID", "Operation"
COLUMNS = (*BEGINS.split(","), OPERATION_COLUMN)
AT_ONCE = 32
"""Status calls at the same time."""
FOLLOWED = 1000
"""Requests followed at the same time."""
NOT_FOUND, NOT_FOUND_YET, NOT_KNOWN_YET = "not found", "not found so far", "not known so far"
NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which RequestIDs a command is about, and where to write their outcomes.

    The file or the outbox may name the operation of each request; `operation` is that of the others.
    """

    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="RequestIDs.")] = None
    file: Annotated[
        str | None,
        option(
            "--file FILE",
            "A file with one RequestID a line, or with a column RequestID and maybe Operation, as --out has "
            "them.",
        ),
    ] = None
    outbox: Annotated[
        Path | None, option("--outbox FILE", "An outbox: the RequestIDs of its accepted rows.")
    ] = None
    operation: OfOperation = LEADS_CAPTURE.name
    out: Annotated[
        Path | None, option("--out FILE", "Write the outcomes with LeadSquared's reasons, as CSV.")
    ] = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is known of a request.

    `why` there was no answer may be shown; the reason in `found` may be personal data.
    """

    request_id: str
    operation: str
    state: str
    exit: ExitStatus
    found: RequestStatus | None = field(default=None, repr=False)
    why: str | None = None

    @property
    def kind(self) -> str | None:
        has_failed = self.found is not None and self.found.state is RequestState.FAILED
        return kind_of(self.found.reason) if self.found is not None and has_failed else None

    @property
    def cells(self) -> tuple[str, ...]:
        lead_id = (self.found and self.found.lead_id) or ""
        is_update = self.found is not None and self.found.created is False
        why = self.kind or self.why or ("an existing lead was updated" if is_update else "")
        return self.request_id, self.state, lead_id, why

    def data(self) -> dict[str, Any]:
        ids = ("lead_id", "activity_id", "opportunity_id", "created")
        return {
            "request_id": self.request_id,
            "operation": self.operation,
            "state": self.state,
            **{name: getattr(self.found, name, None) for name in ids},
            "kind": self.kind,
            "why": self.why,
        }


def status(connection: Connection, terminal: Terminal, asked: Asked) -> ExitStatus:
    """Show the current state of RequestIDs.

    Exit status: 0 all succeeded, 1 some failed or are not known, 3 some are not final.

    Example: leadsquared status 3f2a1c9e-5b7d-4e0f-9a68-1c2d3e4f5a6b
    """
    return _run(asked, connection, terminal, timeout=None)


def wait(
    connection: Connection,
    terminal: Terminal,
    asked: Asked,
    timeout: Annotated[
        float,
        option(
            "--timeout DURATION",
            "The longest wait, for all RequestIDs together; by default 10m.",
            parse=seconds_of,
            default=False,
        ),
    ] = 600.0,
) -> ExitStatus:
    """Follow RequestIDs until LeadSquared has processed them.

    Exit status: 0 all succeeded, 1 some failed or are not known, 3 some were not final in time.

    Example: leadsquared wait --file outcomes.csv --timeout 30m
    """
    return _run(asked, connection, terminal, timeout=timeout)


def metrics(
    connection: Connection, terminal: Terminal, operation: OfOperation = LEADS_CAPTURE.name
) -> ExitStatus:
    """Show the length and the speed of LeadSquared's queue.

    Example: leadsquared metrics --json
    """
    name = operation_named(operation).name

    async def ask() -> QueueMetrics:
        async with connection.client(quick=True) as lsq:
            return await lsq.metrics(operation=name)

    queue = run_until_stopped(ask())
    terminal.result(
        f"pending {queue.pending:,}, longest wait {queue.max_delay:g} s, "
        f"processed {queue.rate_per_minute:g} a minute",
        {
            "operation": name,
            "pending": queue.pending,
            "max_delay": queue.max_delay,
            "rate_per_minute": queue.rate_per_minute,
        },
    )
    return ExitStatus.DONE


def _run(asked: Asked, connection: Connection, terminal: Terminal, timeout: float | None) -> ExitStatus:
    async def ask(stop: Stop) -> list[_Outcome]:
        ids = await _ids(asked, terminal)
        if not ids:
            terminal.say(
                "no RequestID to ask about"
                if asked.outbox is None
                else f"no row waits for its outcome; all rows: leadsquared outbox items {asked.outbox}"
            )
            return []
        if len(ids) > AT_ONCE:
            terminal.say(f"asking LeadSquared about {len(ids):,} RequestIDs")
        async with connection.client(quick=True) as lsq:
            return await _outcomes(lsq, ids, stop, terminal, timeout)

    with ExitStack() as stack:
        draft = None
        if asked.out is not None:
            others = files_of([] if asked.outbox is None else [asked.outbox])
            others += [] if asked.file is None else [Path(asked.file)]
            draft = stack.enter_context(Draft(asked.out, others=others, begins=(BEGINS.encode(),)))
        with Stop() as stop:
            outcomes = asyncio.run(ask(stop))
        if draft is not None:
            written = _write(draft, outcomes)
            if written != draft.given:
                terminal.say(f"outcomes: {written}, because {draft.given} is open in another program")
    ended = max((outcome.exit for outcome in outcomes), default=ExitStatus.DONE)
    data = {"requests": [outcome.data() for outcome in outcomes], "exit": int(ended)}
    terminal.table(("RequestID", "State", "Lead id", "Why"), [each.cells for each in outcomes], data)
    if len(outcomes) > 1:
        states = Counter(outcome.state for outcome in outcomes)
        counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
        terminal.say(f"{len(outcomes):,} RequestIDs: {counts}")
    return ended


async def _ids(asked: Asked, terminal: Terminal) -> dict[str, str]:
    ids = [(_no_file(text), asked.operation) for text in asked.ids or ()]
    if asked.file is not None:
        ids += [(text, name or asked.operation) for text, name in _ids_in(asked.file, terminal)]
    if asked.outbox is not None:
        check_files([asked.outbox])
        async with Outbox(asked.outbox) as outbox:
            items = outbox.items(ItemState.ACCEPTED)
            ids += [(item.request_id, item.operation) async for item in items if item.request_id is not None]
    elif not ids:
        raise CommandFailedError("name a RequestID, or pass --file or --outbox")
    found: dict[str, str] = {}
    for text, name in ids:
        found.setdefault(request_id_of(text), operation_named(name).name)
    return found


def _no_file(text: str) -> str:
    """The RequestID of an argument, which may be a file's name by mistake."""
    if Path(request_id_of(text)).is_file():
        raise CommandFailedError(f"{text} is a file: pass it to --file or --outbox")
    return text


def _ids_in(path: str, terminal: Terminal) -> list[tuple[str, str]]:
    """The RequestIDs of a file, each with its operation, which is empty if the file does not name it."""
    with Table(path, Reading(format="csv")) as table:
        names = table.names or ()
        if ID_COLUMN in names:
            at = names.index(ID_COLUMN)
            of = names.index(OPERATION_COLUMN) if OPERATION_COLUMN in names else None
            rows = list(table)
            found = [
                (request_id, "" if of is None else row.cells[of].strip())
                for row in rows
                if row.flaw is None and (request_id := row.cells[at].strip())
            ]
            if skipped := len(rows) - len(found):
                terminal.say(f"{path}: {counted(skipped, 'row')} without a RequestID skipped")
            return found
        if len(names) > 1:
            raise CommandFailedError(f"{path}: has several columns, but no column RequestID")
        return [(text, "") for text in (*names, *(row.cells[0].strip() for row in table))]


async def _outcomes(
    lsq: LeadSquared, ids: Mapping[str, str], stop: Stop, terminal: Terminal, timeout: float | None
) -> list[_Outcome]:
    """Follow requests for `timeout` seconds, or without it ask once; after Ctrl-C, return what is known."""
    outcomes = dict[str, _Outcome]()
    deadline = None if timeout is None else monotonic() + timeout
    room = asyncio.Semaphore(AT_ONCE if deadline is None else FOLLOWED)
    pace, unit = Pace(), "answered" if deadline is None else "final"

    # `wait_many` would end at an id that LeadSquared does not know.
    async def ask(request_id: str, name: str) -> None:
        async with room:
            outcomes[request_id] = await _outcome(lsq, request_id, name, deadline)
        pace.note(monotonic(), len(ids) - len(outcomes))

    def draw() -> RenderableType:
        remarks = (f"{pace.per_second:.1f} a second", pace.remaining())
        progress = bars([(unit, len(outcomes), len(ids))])
        return Group(progress, Text(", ".join(filter(None, remarks))))

    async def ask_all() -> None:
        await asyncio.gather(*(ask(*each) for each in ids.items()))

    pace.note(monotonic(), len(ids))
    with live(terminal, draw) if len(ids) > 1 else nullcontext():
        try:
            await stop.unless(ask_all())
        except Interrupted:
            terminal.say(INTERRUPTED)
    return [
        outcomes.get(request_id) or _Outcome(request_id, name, NOT_KNOWN_YET, ExitStatus.LEFT)
        for request_id, name in ids.items()
    ]


async def _outcome(lsq: LeadSquared, request_id: str, name: str, deadline: float | None) -> _Outcome:
    """The outcome of a request; raises account-level errors, which affect every request."""
    try:
        if deadline is None:
            found = await lsq.status(request_id, operation=name)
        elif (left := deadline - monotonic()) > 0:
            found = await lsq.wait(request_id, operation=name, deadline=left)
        else:
            return _Outcome(request_id, name, NOT_KNOWN_YET, ExitStatus.LEFT)
    except NotFound:
        return _Outcome(request_id, name, NOT_FOUND, ExitStatus.NOT_ALL)
    except StillProcessing as error:
        trouble = error.__cause__
        if error.last_status is not None:
            return _Outcome(request_id, name, RequestState.QUEUED, ExitStatus.LEFT)
        if trouble is None:
            return _Outcome(request_id, name, NOT_KNOWN_YET, ExitStatus.LEFT)
        if isinstance(trouble, NotFound):
            return _Outcome(request_id, name, NOT_FOUND_YET, ExitStatus.LEFT)
        return _Outcome(request_id, name, NO_ANSWER, ExitStatus.LEFT, why=str(error))
    except LeadSquaredError as error:
        if status_of(error) is ExitStatus.ACCOUNT:
            raise
        return _Outcome(request_id, name, NO_ANSWER, ExitStatus.LEFT, why=str(error))
    ended = ExitStatus.DONE if found.succeeded else ExitStatus.NOT_ALL
    status = ended if found.is_final else ExitStatus.LEFT
    return _Outcome(found.request_id, name, found.state.value, status, found)


def _write(draft: Draft, outcomes: Sequence[_Outcome]) -> Path:
    with open_private(draft.part) as file:
        write = sheet(file)
        write(COLUMNS)
        for each in outcomes:
            lead_id, reason = (
                (None, each.why) if each.found is None else (each.found.lead_id, each.found.reason)
            )
            write((each.request_id, lead_id, each.state, one_line(reason or ""), each.operation))
    return draft.place()
