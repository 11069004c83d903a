"""`leadsquared status`, `wait` and `metrics`: what became of RequestIDs, and of LeadSquared's queue."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

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
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus, status_of
from leadsquared_async.cli.files.private_files import Draft, files_of, open_private
from leadsquared_async.cli.files.sheets import sheet
from leadsquared_async.cli.files.tables import Reading, Table
from leadsquared_async.cli.stopping import Interrupted, Stop
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.operations import LEADS_CAPTURE, operation_named
from leadsquared_async.printable import one_line
from leadsquared_async.tracking import request_id_of

__all__ = ["Asked", "ids_in", "run_metrics", "run_status", "run_wait"]

BEGINS = "RequestID,LeadID,Outcome,Reason"
"""How a file of outcomes begins."""
ID_COLUMN, OPERATION_COLUMN = "RequestID", "Operation"
COLUMNS = (*BEGINS.split(","), OPERATION_COLUMN)
AT_ONCE = 32
"""Looks under way at the same moment."""
FOLLOWED = 1000
"""Requests that are followed at the same moment."""
NOT_FOUND, NOT_FOUND_YET, NOT_KNOWN_YET = "not found", "not found so far", "not known so far"
NO_ANSWER = "no answer"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which RequestIDs a command is about, and where to write the answers.

    Attributes:
        ids: as arguments.
        file: with more of them; None if there is none.
        outbox: whose accepted rows are meant; None if there is none.
        out: the file for outcomes and reasons; None if nobody wants it.
        operation: what was submitted, unless the file or the outbox says of a request that it is another.
    """

    ids: Sequence[str]
    file: str | None
    outbox: Path | None
    out: Path | None
    operation: str = LEADS_CAPTURE.name


@dataclass(frozen=True, slots=True)
class _Outcome:
    request_id: str
    operation: str
    state: str
    status: ExitStatus
    lead_id: str | None = None
    activity_id: str | None = None
    opportunity_id: str | None = None
    created: bool | None = None
    reason: str | None = field(default=None, repr=False)
    why: str | None = None
    """Why there was no answer, in words that may be shown; a reason may hold a lead's values."""

    @property
    def kind(self) -> str | None:
        return None if self.state != RequestState.FAILED else kind_of(self.reason)

    def line(self) -> str:
        said = (self.request_id, f"{self.state:<10}", self.lead_id, self.kind, self.why)
        return "  ".join(part for part in said if part).rstrip()

    def data(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "operation": self.operation,
            "state": self.state,
            "lead_id": self.lead_id,
            "activity_id": self.activity_id,
            "opportunity_id": self.opportunity_id,
            "created": self.created,
            "kind": self.kind,
            "why": self.why,
        }


def run_status(asked: Asked, connection: Connection, terminal: Terminal) -> ExitStatus:
    """Look once at each RequestID.

    Raises:
        CommandFailedError, LeadSquaredError, OSError: it cannot begin, or the account lets nothing through.
    """
    return _run(asked, connection, terminal, timeout=None)


def run_wait(asked: Asked, connection: Connection, terminal: Terminal, timeout: float) -> ExitStatus:
    """Follow each RequestID until it is final, for so many seconds at most.

    Raises:
        CommandFailedError, LeadSquaredError, OSError: it cannot begin, or the account lets nothing through.
    """
    return _run(asked, connection, terminal, timeout=timeout)


def run_metrics(connection: Connection, terminal: Terminal, operation: str) -> ExitStatus:
    """Ask for LeadSquared's queue of an operation.

    Raises:
        LeadSquaredError: it did not answer, or there is no such operation.
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


def ids_in(path: str) -> list[tuple[str, str]]:
    """The RequestIDs in a file: one a line, or a column RequestID, as `capture --out` writes it.

    Each has the operation that a column Operation names; empty if it names none.

    Raises:
        Unreadable, OSError: the file cannot be read.
    """
    with Table(path, Reading(format="csv")) as table:
        names = table.names or ()
        if ID_COLUMN in names:
            at = names.index(ID_COLUMN)
            of = names.index(OPERATION_COLUMN) if OPERATION_COLUMN in names else None
            return [
                (request_id, "" if of is None else row.cells[of].strip())
                for row in table
                if row.flaw is None and (request_id := row.cells[at].strip())
            ]
        if len(names) > 1:
            raise CommandFailedError(f"{path}: has no column RequestID, and more than one id in a line")
        return [(text, "") for text in (*names, *(row.cells[0].strip() for row in table))]


def _run(asked: Asked, connection: Connection, terminal: Terminal, timeout: float | None) -> ExitStatus:
    async def ask(stop: Stop) -> list[_Outcome]:
        ids = await _ids(asked)
        if not ids:
            terminal.say("no RequestID is open")
            return []
        async with connection.client(quick=True) as lsq:
            if timeout is None:
                return await _look(lsq, ids, stop)
            return await _wait(lsq, ids, stop, timeout, terminal)

    def run() -> list[_Outcome]:
        with Stop(ExitStatus.LEFT) as stop:
            return asyncio.run(ask(stop))

    if asked.out is None:
        outcomes = run()
    else:
        others = files_of([asked.outbox] if asked.outbox is not None else [])
        if asked.file is not None:
            others.append(Path(asked.file))
        with Draft(asked.out, others=others, begins=(BEGINS.encode(),)) as draft:
            outcomes = run()
            _write(draft, outcomes)
    status = max((outcome.status for outcome in outcomes), default=ExitStatus.DONE)
    requests = [outcome.data() for outcome in outcomes]
    text = "\n".join(outcome.line() for outcome in outcomes)
    cells = [
        (each.request_id, each.state, each.lead_id or "", each.kind or each.why or "") for each in outcomes
    ]
    headings, data = ("RequestID", "State", "Lead id", "Why"), {"requests": requests, "exit": int(status)}
    terminal.table(headings, cells, data, plain=text)
    return status


async def _ids(asked: Asked) -> dict[str, str]:
    """The RequestIDs, each once, and the operation of each."""
    ids = [(text, asked.operation) for text in asked.ids]
    if asked.file is not None:
        ids += [(text, name or asked.operation) for text, name in ids_in(asked.file)]
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
        terminal.say("interrupted: what is queued stays queued, wait again later")
    return list(outcomes.values())


def _of(status: RequestStatus, name: str) -> _Outcome:
    if not status.is_final:
        exit_status = ExitStatus.LEFT
    else:
        exit_status = ExitStatus.DONE if status.succeeded else ExitStatus.NOT_ALL
    return _Outcome(
        status.request_id,
        name,
        status.state.value,
        exit_status,
        status.lead_id,
        status.activity_id,
        status.opportunity_id,
        status.created,
        status.reason,
    )


def _without_answer(request_id: str, name: str, error: LeadSquaredError) -> _Outcome:
    """An account's fault would meet all: it is raised."""
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
    return _Outcome(request_id, name, NO_ANSWER, ExitStatus.LEFT, reason=str(error), why=str(error))


def _write(draft: Draft, outcomes: Sequence[_Outcome]) -> None:
    with os.fdopen(open_private(draft.part), "w", encoding="utf-8", newline="") as file:
        write = sheet(file)
        write(COLUMNS)
        for outcome in outcomes:
            reason = one_line(outcome.reason or "")
            write((outcome.request_id, outcome.lead_id, outcome.state, reason, outcome.operation))
    draft.place()
