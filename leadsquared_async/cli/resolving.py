"""`leadsquared outbox resolve`: looks for the rows with unknown outcome in LeadSquared, and settles them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from leadsquared_async import FoundLead, ItemState, Lane, LeadSquared, Outbox, OutboxItem
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.durations import seconds_of
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.fields import NO_SYNC_HOST
from leadsquared_async.cli.options import option
from leadsquared_async.cli.outboxes import Ids, check_files, numbers_of, row_of
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.errors import ConfigurationError, LeadSquaredError, NotFound, Scope
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, LEADS_CAPTURE
from leadsquared_async.outbox import check_account, is_unknown, mark_delivered, update_behavior_of
from leadsquared_async.printable import one_line, shell_word

__all__ = ["look_for", "resolve"]

Suggestion = Literal["delivered", "requeue", "wait", "look"]
LOOKED_FOR_BY = (("ProspectID", "id"), ("EmailAddress", "email"), ("Phone", "phone"), ("Mobile", "phone"))
SHOWN_BY_THE_LEAD = {LEADS_CAPTURE.name, BULK_CREATE_OR_UPDATE.name}
"""Of these operations the lead itself shows whether the submission arrived."""
SKEW = timedelta(seconds=5)
"""How far LeadSquared's clock may be behind."""
ELSEWHERE = "elsewhere"
"""What was done with a row that another process settled meanwhile."""
QUESTIONS = {"delivered": "mark it as delivered?", "requeue": "send it again?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A row with unknown outcome, the lead that LeadSquared has, and what to do."""

    item: OutboxItem
    lead: FoundLead | None
    suggestion: Suggestion
    why: str

    @property
    def cells(self) -> tuple[str, ...]:
        item, lead = self.item, self.lead
        found = ("-", "", "") if lead is None else (lead.id, _time(lead.created_at), _time(lead.modified_at))
        shown = (str(item.id), item.operation, one_line(item.reference or "", 100), _time(item.put_at))
        return (*shown, *found, f"{self.suggestion}: {self.why}")

    def as_json(self, path: Path, done: str | None) -> dict[str, Any]:
        lead = self.lead
        created, modified = (None, None) if lead is None else (lead.created_at, lead.modified_at)
        return {
            **row_of(path, self.item),
            "found": None if lead is None else lead.id,
            "lead_created_at": None if created is None else created.isoformat(),
            "lead_modified_at": None if modified is None else modified.isoformat(),
            "suggestion": self.suggestion,
            "done": done,
        }


def resolve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An outbox file.")],
    connection: Connection,
    terminal: Terminal,
    delivered: Annotated[
        bool, option("--delivered", "Mark rows as delivered: those that LeadSquared has, or those of --item.")
    ] = False,
    requeue: Annotated[
        bool,
        option("--requeue", "Send rows again: those that did not arrive, or those of --item."),
    ] = False,
    ids: Ids = (),
    after: Annotated[
        float,
        option(
            "--after DURATION",
            "How long ago a row must have ended before not being found counts; by default 1m. The delay of "
            "LeadSquared's queue is added.",
            parse=seconds_of,
            default=False,
        ),
    ] = 60.0,
) -> ExitStatus:
    """Look for the rows with unknown outcome in LeadSquared; mark them as delivered, or send them again.

    At a terminal it asks for each row. With --delivered and --requeue it follows its suggestions.

    Example: leadsquared outbox resolve leads.csv.outbox --delivered --requeue
    """
    check_files([file])
    if not connection.has_sync_host:
        raise CommandFailedError(f"looking for leads needs the synchronous host: {NO_SYNC_HOST}")
    rows = numbers_of(ids)
    if rows and delivered and requeue:
        raise CommandFailedError("--item: pass either --delivered or --requeue with it")
    with Stop() as stop:
        choice = _Choice(terminal, stop, delivered, requeue, rows)
        findings, done = asyncio.run(stop.unless(_resolve(file, connection, terminal, choice, after)))
    counts = {word: list(done.values()).count(word) for word in ("delivered", "requeued", ELSEWHERE)}
    left = len(findings) - len(done)
    said = [f"{counted(counts['delivered'], 'row')} marked as delivered", f"{counts['requeued']:,} requeued"]
    if counts[ELSEWHERE]:
        said.append(f"{counts[ELSEWHERE]:,} settled by another process")
    terminal.result(
        ", ".join([*said, f"{left:,} left"]) if findings else "no row has an unknown outcome",
        {"rows": [each.as_json(file, done.get(each.item.id)) for each in findings], **counts, "left": left},
    )
    to_look_at = [it.item.id for it in findings if it.suggestion == "look" and it.item.id not in done]
    if to_look_at and not terminal.as_json:
        command = f"leadsquared outbox resolve {shell_word(file)} --item {to_look_at[0]}"
        terminal.say(f"decide on each row to look at: {command} --delivered, or --requeue to send it again")
    return ExitStatus.NOT_ALL if left else ExitStatus.DONE


@dataclass(frozen=True, slots=True)
class _Choice:
    """Decides on each row: by the options, else by asking at a terminal."""

    terminal: Terminal
    stop: Stop
    delivered: bool
    requeue: bool
    rows: Collection[int]

    def of(self, finding: Finding) -> Literal["delivered", "requeue"] | None:
        if self.rows and (self.delivered or self.requeue):
            return "delivered" if self.delivered else "requeue"
        suggested = finding.suggestion
        if suggested != "delivered" and suggested != "requeue":  # noqa: PLR1714 - narrows the type
            return None
        if self.delivered or self.requeue:
            agreed: bool | None = self.delivered if suggested == "delivered" else self.requeue
        elif self.terminal.as_json:
            agreed = False
        else:
            with self.stop.at_once():
                agreed = self.terminal.ask(f"row {finding.item.id} ({finding.why}): {QUESTIONS[suggested]}")
        return suggested if agreed else None


async def _resolve(
    file: Path, connection: Connection, terminal: Terminal, choice: _Choice, after: float
) -> tuple[Sequence[Finding], dict[int, str]]:
    """The findings, and what was done with rows by id."""
    async with Outbox(file) as outbox:
        items = [
            it async for it in outbox.items(ItemState.UNKNOWN) if not choice.rows or it.id in choice.rows
        ]
        if not items:
            return [], {}
        async with connection.client(quick=True) as client:
            await check_account(outbox, client)
            lsq = client.with_options(lane=Lane.BATCH)
            lag = after + await _queue_delay(lsq, terminal)
            findings = [await look_for(outbox, lsq, item, lag) for item in items]
        if not terminal.as_json:
            headings = (
                "Id",
                "Operation",
                "Reference",
                "Put at",
                "Lead id",
                "Created",
                "Modified",
                "Suggestion",
            )
            terminal.table(headings, [each.cells for each in findings])
        return findings, await _settled(outbox, findings, choice, terminal)


async def _settled(
    outbox: Outbox, findings: Sequence[Finding], choice: _Choice, terminal: Terminal
) -> dict[int, str]:
    """Settle the rows that were chosen; returns what was done, by id."""
    done: dict[int, str] = {}
    for finding in findings:
        item = finding.item
        match choice.of(finding):
            case "delivered":
                lead_id = None if finding.lead is None else finding.lead.id
                if await mark_delivered(outbox, item.id, lead_id):
                    done[item.id] = "delivered"
            case "requeue":
                try:
                    await outbox.requeue(item)
                except LeadSquaredError as error:
                    if await is_unknown(outbox, item.id):
                        terminal.say(f"row {item.id}: {error}")
                else:
                    done[item.id] = "requeued"
            case None:
                pass
    for finding in findings:
        row = finding.item.id
        if row not in done and not await is_unknown(outbox, row):
            done[row] = ELSEWHERE
    return done


async def _queue_delay(lsq: LeadSquared, terminal: Terminal) -> float:
    """Seconds by which LeadSquared's queue of captures is late; 0 if its inferred path does not exist."""
    try:
        return (await lsq.leads.metrics()).max_delay
    except NotFound:
        terminal.say(
            "LeadSquared does not say how late its queue is: if leads take long, pass a longer --after"
        )
        return 0.0


async def look_for(outbox: Outbox, lsq: LeadSquared, item: OutboxItem, lag: float) -> Finding:
    """What LeadSquared has of a row. Only an answer about the row's first value settles it."""
    finding = Finding(item, None, "look", "the lead does not show it")
    asked: list[str] = []
    for name, argument in LOOKED_FOR_BY:
        value = (item.lead or {}).get(name)
        if not value:
            continue
        try:
            lead = await lsq.leads.find(**{argument: value})
        except LeadSquaredError as error:
            if isinstance(error, ConfigurationError) and error.scope is not Scope.ACCOUNT:
                continue  # nothing was sent: a Phone without digits
            if error.scope is not Scope.LEAD:
                raise  # every row would get it
            return replace(finding, why=f"no answer about its {name}")
        asked.append(name)
        if lead is not None:
            finding = replace(finding, lead=lead)
            break
    if item.operation not in SHOWN_BY_THE_LEAD:
        return finding
    if not asked:
        return replace(finding, why="nothing to look for")
    if finding.lead is not None and asked[-1] not in finding.lead.fields:
        return replace(finding, why=f"the answer does not contain its {asked[-1]}")
    if len(asked) > 1 and finding.lead is not None:
        return replace(finding, why=f"the lead with its {asked[-1]} has another {asked[0]}")
    return _suggested(finding, lag, await update_behavior_of(outbox, item.id))


def _suggested(finding: Finding, lag: float, behavior: str | None) -> Finding:
    item, lead = finding.item, finding.lead
    if lead is not None:
        changed_at = lead.modified_at or lead.created_at
        if changed_at is None:
            return replace(finding, why="when it was changed is unknown")
        if changed_at >= item.put_at - SKEW:
            if others := [name for name, value in (item.lead or {}).items() if _differs(name, value, lead)]:
                return replace(finding, why=f"changed since, but with another {one_line(others[0], 100)}")
            return replace(finding, suggestion="delivered", why="created or changed since")
    if (datetime.now(UTC) - item.changed_at).total_seconds() < lag:
        return replace(finding, suggestion="wait", why="may not be processed yet")
    if lead is None:
        return replace(finding, suggestion="requeue", why="not in LeadSquared")
    if behavior is not None:
        return replace(finding, why=f"not changed since, but with {behavior} it may have arrived")
    return replace(finding, suggestion="requeue", why="not changed since")


def _differs(name: str, value: object, lead: FoundLead) -> bool:
    """Whether the lead has another value: case and the format of a phone number do not matter."""
    if name not in lead.fields or not isinstance(value, str):
        return False  # such as SearchBy
    sent, there = (text.strip().casefold() for text in (value, str(lead.fields[name] or "")))
    if name in {"Phone", "Mobile"}:
        sent, there = ("".join(filter(str.isdigit, text)) for text in (sent, there))
        shorter, longer = sorted((sent, there), key=len)
        return not longer.endswith(shorter) if shorter else bool(longer)
    return sent != there


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
