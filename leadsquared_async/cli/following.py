"""`leadsquared status`, `wait` and `metrics`: the outcomes of RequestIDs, and LeadSquared's queue."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from leadsquared_async import (
    ItemState,
    LeadSquared,
    LeadSquaredError,
    NotFound,
    Outbox,
    RequestState,
    RequestStatus,
    StillProcessing,
)
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.durations import seconds_of
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, status_of
from leadsquared_async.cli.files.private_files import Draft, files_of, open_private
from leadsquared_async.cli.files.sheets import sheet
from leadsquared_async.cli.files.tables import Reading, Table
from leadsquared_async.cli.options import OfOperation, option
from leadsquared_async.cli.stopping import Interrupted, Stop
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which RequestIDs a command is about, and where to write the answers.

    What was submitted is `operation`, unless the file or the outbox says of a request that it is another.
    """

    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="RequestIDs.")] = None
    file: Annotated[
        str | None,
        option(
            "--file FILE",
            "A file with one a line, or with a column RequestID, and maybe Operation, as --out writes it.",
        ),
    ] = None
    outbox: Annotated[Path | None, option("--outbox FILE", "An outbox: those of its accepted rows.")] = None
    operation: OfOperation = LEADS_CAPTURE.name
    out: Annotated[
        Path | None, option("--out FILE", "Write the outcomes with LeadSquared's reasons, as CSV.")
    ] = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is known of a request; `why` there was no answer is fit to be shown, a reason is not."""

    request_id: str
    operation: str
    state: str
    exit: ExitStatus
    found: RequestStatus | None = field(default=None, repr=False)
    why: str | None = None

    @property
    def kind(self) -> str | None:
        return (
            None
            if self.found is None or self.found.state is not RequestState.FAILED
            else kind_of(self.found.reason)
        )

    @property
    def cells(self) -> tuple[str, ...]:
        lead_id = (self.found and self.found.lead_id) or ""
        return self.request_id, self.state, lead_id, self.kind or self.why or ""

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

    Exits with 0 if all succeeded, 1 if some failed or are not known, 3 if some are not finished.

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
            "The longest wait, for all of them together; by default 10m.",
            parse=seconds_of,
            default=False,
        ),
    ] = 600.0,
) -> ExitStatus:
    """Follow RequestIDs until LeadSquared has finished with them.

    Exits with 0 if all succeeded, 1 if some failed or are not known, 3 if some are not finished in time.

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

    async def ask() -> None:
        async with connection.client(quick=True) as lsq:
            queue = await stop.unless(lsq.metrics(operation=name))
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

    with Stop(ExitStatus.LEFT) as stop:
        asyncio.run(ask())
    return ExitStatus.DONE


def _ids_in(path: str, terminal: Terminal) -> list[tuple[str, str]]:
    """The RequestIDs in a file, one a line or in a column, each with its operation if a column has that."""
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


def _run(asked: Asked, connection: Connection, terminal: Terminal, timeout: float | None) -> ExitStatus:
    async def ask(stop: Stop) -> list[_Outcome]:
        ids = await _ids(asked, terminal)
        if not ids:
            terminal.say("no RequestID is open")
            return []
        if len(ids) > AT_ONCE:
            terminal.say(f"asking LeadSquared about {len(ids):,} RequestIDs")
        async with connection.client(quick=True) as lsq:
            if timeout is None:
                return await _look(lsq, ids, stop)
            return await _wait(lsq, ids, stop, timeout, terminal)

    with ExitStack() as stack:
        draft = None
        if asked.out is not None:
            others = files_of([] if asked.outbox is None else [asked.outbox])
            others += [] if asked.file is None else [Path(asked.file)]
            draft = stack.enter_context(Draft(asked.out, others=others, begins=(BEGINS.encode(),)))
        with Stop(ExitStatus.LEFT) as stop:
            outcomes = asyncio.run(ask(stop))
        if draft is not None:
            _write(draft, outcomes)
    ended = max((outcome.exit for outcome in outcomes), default=ExitStatus.DONE)
    data = {"requests": [outcome.data() for outcome in outcomes], "exit": int(ended)}
    terminal.table(("RequestID", "State", "Lead id", "Why"), [each.cells for each in outcomes], data)
    if len(outcomes) > 1:
        states = Counter(outcome.state for outcome in outcomes)
        said = ", ".join(f"{count:,} {state}" for state, count in states.items())
        terminal.say(f"{len(outcomes):,} RequestIDs: {said}")
    return ended


async def _ids(asked: Asked, terminal: Terminal) -> dict[str, str]:
    """The RequestIDs, each once, and the operation of each."""
    ids = [(text, asked.operation) for text in asked.ids or ()]
    if asked.file is not None:
        ids += [(text, name or asked.operation) for text, name in _ids_in(asked.file, terminal)]
    if asked.outbox is not None:
        if not asked.outbox.is_file():
            raise CommandFailedError(f"{asked.outbox}: there is no such outbox")
        async with Outbox(asked.outbox) as outbox:
            items = outbox.items(ItemState.ACCEPTED)
            ids += [(item.request_id, item.operation) async for item in items if item.request_id is not None]
    elif not ids:
        raise CommandFailedError("name a RequestID, or pass --file or --outbox")
    found: dict[str, str] = {}
    for text, name in ids:
        found.setdefault(request_id_of(text), operation_named(name).name)
    return found


async def _look(lsq: LeadSquared, ids: Mapping[str, str], stop: Stop) -> list[_Outcome]:

    async def look(request_id: str) -> _Outcome:
        name = ids[request_id]
        try:
            return _of(await lsq.status(request_id, operation=name), name)
        except LeadSquaredError as error:
            return _without_answer(request_id, name, error)

    outcomes: list[_Outcome] = []
    asked = list(ids)
    for start in range(0, len(asked), AT_ONCE):
        outcomes += await stop.unless(_all(map(look, asked[start : start + AT_ONCE])))
    return outcomes


async def _all(asking: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    return await asyncio.gather(*asking)


async def _wait(
    lsq: LeadSquared, ids: Mapping[str, str], stop: Stop, timeout: float, terminal: Terminal
) -> list[_Outcome]:
    """The outcomes in the order of the ids; those that a Ctrl-C came before are left as they are."""
    outcomes = {
        request_id: _Outcome(request_id, name, RequestState.QUEUED, ExitStatus.LEFT)
        for request_id, name in ids.items()
    }
    ends = time.monotonic() + timeout
    room = asyncio.Semaphore(FOLLOWED)

    async def follow(request_id: str) -> None:
        name = ids[request_id]
        # Not by `wait_many`, which an id that LeadSquared does not know would end for all of them.
        async with room:
            if (left := ends - time.monotonic()) <= 0:
                return
            try:
                status = await lsq.wait(request_id, operation=name, deadline=left)
                outcomes[request_id] = _of(status, name)
            except LeadSquaredError as error:
                outcomes[request_id] = _without_answer(request_id, name, error)

    try:
        await stop.unless(_all(map(follow, ids)))
    except Interrupted:
        terminal.say("interrupted: to follow the queued requests, run the same command again")
    return list(outcomes.values())


def _of(found: RequestStatus, name: str) -> _Outcome:
    ended = ExitStatus.DONE if found.succeeded else ExitStatus.NOT_ALL
    return _Outcome(
        found.request_id, name, found.state.value, ended if found.is_final else ExitStatus.LEFT, found
    )


def _without_answer(request_id: str, name: str, error: LeadSquaredError) -> _Outcome:
    """The outcome for an error; raises an account-level one, which every request would meet."""
    if isinstance(error, NotFound):
        return _Outcome(request_id, name, NOT_FOUND, ExitStatus.NOT_ALL)
    if status_of(error) is ExitStatus.ACCOUNT:
        raise error
    if isinstance(error, StillProcessing):
        if error.last_status is not None:
            return _Outcome(request_id, name, RequestState.QUEUED, ExitStatus.LEFT)
        trouble = error.__cause__
        if trouble is None or isinstance(trouble, NotFound):
            # Without any trouble the time was over before the first look.
            state = NOT_KNOWN_YET if trouble is None else NOT_FOUND_YET
            return _Outcome(request_id, name, state, ExitStatus.LEFT)
    return _Outcome(request_id, name, NO_ANSWER, ExitStatus.LEFT, why=str(error))


def _write(draft: Draft, outcomes: Sequence[_Outcome]) -> None:
    with open_private(draft.part) as file:
        write = sheet(file)
        write(COLUMNS)
        for each in outcomes:
            lead_id, reason = (
                (None, each.why) if each.found is None else (each.found.lead_id, each.found.reason)
            )
            write((each.request_id, lead_id, each.state, one_line(reason or ""), each.operation))
    draft.place()
