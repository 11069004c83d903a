"""The history of a lead or of a call, for the sandbox's window. Pure; the account must be up to date."""

from collections.abc import Callable, Collection, Iterable

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.exchanges import Exchange
from leadsquared_async.sandbox.masking import NO_REQUEST
from leadsquared_async.sandbox.processing import RETRIES, Task
from leadsquared_async.sandbox.records import Lead
from leadsquared_async.sandbox.summaries import NOBODY, describe_body, describe_values
from leadsquared_async.sandbox.views import Row, show_call, task_of

MOST_SHOWN = 100
"""Calls of a history, and requests; the last ones."""


def history_of_lead(account: Account, lead_id: str) -> Row | None:
    """A lead, the requests that changed it, and the calls that submitted or followed them.

    None for an unknown id.
    """
    lead = account.records.leads.get(lead_id)
    if lead is None:
        return None
    tasks = _tasks(account, lambda task: task.lead_id == lead_id)
    submissions = {
        exchange.submission
        for exchange in account.exchanges
        if exchange.effects.task is not None and exchange.effects.task.lead_id == lead_id
    }
    calls = _calls(
        account,
        tasks,
        lambda exchange: (
            lead_id in exchange.effects.lead_ids
            or (exchange.effects.task is None and exchange.submission in submissions)
        ),
    )
    return {
        "kind": "lead",
        **describe_values(NO_REQUEST.values(lead.attributes)),
        "lead": _show_lead(account, lead),
        **_show(account, tasks, calls),
    }


def history_of_call(account: Account, number: int) -> Row | None:
    """A call, all attempts of the same submission, their requests, and the calls that followed them.

    None for a number that is unknown or forgotten.
    """
    exchange = account.exchanges.find(number)
    if exchange is None:
        return None
    found = task_of(account, exchange)
    tasks = [] if found is None else [found]
    bodies = {exchange.submission} if exchange.request.body else set[tuple[object, ...]]()
    bodies |= {it.submission for it in account.exchanges if found is not None and it.effects.task is found}
    tasks += [
        it.effects.task
        for it in account.exchanges
        if it.submission in bodies and it.effects.task is not None and it.effects.task is not found
    ]
    calls = _calls(account, tasks, lambda it: it is exchange or it.submission in bodies)
    lead = account.records.leads.get(tasks[-1].lead_id) if tasks else None
    shown = show_call(account, exchange)
    return {
        "kind": "call",
        **{key: shown[key] for key in NOBODY},
        "call": shown,
        "lead": None if lead is None else _show_lead(account, lead),
        **_show(account, tasks, calls),
    }


def _tasks(account: Account, is_wanted: Callable[[Task], bool]) -> list[Task]:
    return [task for queue in account.queues.values() for task in queue.tasks.values() if is_wanted(task)]


def _calls(account: Account, tasks: Iterable[Task], is_wanted: Callable[[Exchange], bool]) -> list[Exchange]:
    """The calls that queued or followed one of the requests, and those that are wanted besides."""
    ids = {task.request_id for task in tasks}
    return [
        exchange
        for exchange in account.exchanges
        if is_wanted(exchange)
        or ((task := task_of(account, exchange)) is not None and task.request_id in ids)
    ]


def _show(account: Account, tasks: Collection[Task], calls: Collection[Exchange]) -> Row:
    ordered = sorted(tasks, key=lambda task: task.accepted_at)
    return {
        "requests": [_show_task(account, task) for task in ordered[-MOST_SHOWN:]],
        "calls": [show_call(account, exchange) for exchange in list(calls)[-MOST_SHOWN:]],
        "left_out": max(0, len(tasks) - MOST_SHOWN) + max(0, len(calls) - MOST_SHOWN),
    }


def _show_task(account: Account, task: Task) -> Row:
    """An accepted request: its state, and which lead it changed."""
    speed = account.settings.speed
    return {
        "request_id": task.request_id,
        "operation": task.operation.name,
        "status": task.status,
        "reason": NO_REQUEST.text(task.reason),
        "system_errors": task.errors,
        "most_system_errors": len(RETRIES),
        "accepted_at": task.accepted_at / speed,
        "finished_at": None if task.finished_at is None else task.finished_at / speed,
        "lead_id": task.lead_id or None,
        "matched_by": task.matched_by or None,
        "message": NO_REQUEST.body((task.message or "").encode()),
        **describe_body(NO_REQUEST, task.body),
    }


def _show_lead(account: Account, lead: Lead) -> Row:
    speed = account.settings.speed
    opportunities = [it for it in account.records.opportunities.values() if it.lead_id == lead.id]
    return {
        "id": lead.id,
        "attributes": list(NO_REQUEST.values(lead.attributes).items()),
        "activities": [
            {"event": it.event, "at": it.at / speed, "note": NO_REQUEST.text(it.note)}
            for it in lead.activities[-MOST_SHOWN:]
        ],
        "opportunities": [
            {"id": it.id, "event_code": it.event_code, "at": it.at / speed, "note": NO_REQUEST.text(it.note)}
            for it in opportunities[-MOST_SHOWN:]
        ],
    }
