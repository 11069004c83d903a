"""What the sandbox's window shows: pure functions of an account, as mappings for JSON with all keys masked.

The account must be up to date: call `Account.advance` first. Times are in seconds on the account's clock.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from math import floor
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from leadsquared_async.sandbox.account import Account, limit_of
from leadsquared_async.sandbox.exchanges import FAULT, Arrival, Exchange
from leadsquared_async.sandbox.faults import describe_fault
from leadsquared_async.sandbox.masking import NO_REQUEST, Masker
from leadsquared_async.sandbox.operations import SYNC
from leadsquared_async.sandbox.processing import Task
from leadsquared_async.sandbox.summaries import NOBODY, describe_body, describe_values

MINUTE = 60.0
STEP = 0.5
"""Seconds that a bar of the chart covers."""
MOST_DRAWN = 5_000
"""Calls that the chart is made of, the last ones."""
MOST_ROWS = 500
LONGEST_SEARCH = 200
KINDS = ("all", "submissions", "problems")
"""Which calls a list has."""

Row = dict[str, Any]


def overview(account: Account, now: float) -> Row:
    """The counts, the queues, the settings, the faults, and the last minute."""
    tones = account.exchanges.tones
    queues = account.queues
    finished = sum((queue.finished for queue in queues.values()), Counter[str]())
    speed = account.settings.speed
    limit = account.settings.limit
    return {
        "instance": account.instance,
        "revision": account.revision,
        "now": now,
        "counts": {
            "calls": account.exchanges.count,
            "kept_calls": len(account.exchanges),
            **{tone: tones[tone] for tone in ("limit", "rejected", "fault")},
            "requests": sum(len(queue.tasks) for queue in queues.values()),
            "leads": len(account.records.leads),
        },
        "statuses": {"In-Queue": sum(queue.pending for queue in queues.values()), **finished},
        "queues": [
            {"operation": name, "pending": queue.pending, "oldest": now - queue.oldest(now * speed) / speed}
            for name, queue in queues.items()
            if queue.pending
        ],
        "settings": {**account.settings.to_json(), "speed": speed},
        "faults": account.faults.to_json(),
        "misplaced_keys": list(dict.fromkeys(account.misplaced_keys[-5:])),
        "minute": {
            "limit": limit and limit[0],
            "per": limit_of(account.settings, "")[1],
            "step": STEP,
            "bars": last_minute(account.arrivals, now, limit_of(account.settings, "")[1]),
        },
    }


def last_minute(arrivals: Sequence[Arrival], now: float, per: float) -> list[Row]:
    """All calls of the last minute but bulk calls, in bars of `STEP` seconds.

    A bar has its start, the number of calls by tone, and as `peak` the most calls within any `per` seconds
    that end in the bar.
    """
    last = floor(now / STEP)
    first = last - round(MINUTE / STEP) + 1
    drawn: list[Arrival] = []
    for arrival in islice(reversed(arrivals), MOST_DRAWN):
        if arrival.time < first * STEP - per:
            break
        if arrival.operation != "bulk":
            drawn.append(arrival)
    drawn.reverse()
    times = [arrival.time for arrival in drawn]
    bars: list[Row] = []
    for number in range(first, last + 1):
        start = number * STEP
        inside = range(bisect_left(times, start), bisect_left(times, start + STEP))
        peaks = [index + 1 - bisect_right(times, times[index] - per) for index in inside]
        at_start = bisect_left(times, start) - bisect_right(times, start - per)
        tones = Counter[str](drawn[index].tone for index in inside)
        bars.append({"start": start, "peak": max([at_start, *peaks]), **tones})
    return bars


def list_calls(
    account: Account, *, search: str = "", kind: str = "all", before: int | None = None, limit: int = 100
) -> Row:
    """The last calls, newest first; `before` is a call's number.

    `kind` selects all calls, those that submit something, or those that were not answered with success.
    Raises ValueError for an invalid option.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    term = _term(search)
    found = (
        describe_call(account, exchange)
        for exchange in reversed(account.exchanges)
        if (before is None or exchange.number < before)
        and _is_of_kind(exchange.arrival, kind)
        and (not term or term in _text_of(account, exchange))
    )
    return _page("calls", found, limit)


def list_leads(account: Account, *, search: str = "", before: int | None = None, limit: int = 100) -> Row:
    """The leads, newest first; `before` is a lead's number. Raises ValueError for an invalid option."""
    term, leads, speed = _term(search), account.records.leads, account.settings.speed
    found = (
        {
            "number": number,
            "id": lead.id,
            "time": lead.activities[0].at / speed if lead.activities else None,
            "activities": len(lead.activities),
            **describe_values(NO_REQUEST.values(lead.attributes)),
        }
        for number, lead in zip(range(len(leads), 0, -1), reversed(leads.values()), strict=True)
        if (before is None or number < before)
        and (not term or any(term in value.casefold() for value in lead.attributes.values()))
    )
    return _page("leads", found, limit)


def describe_call(account: Account, exchange: Exchange) -> Row:
    """A call in a line."""
    arrival, mask, task = exchange.arrival, Masker(exchange.request), task_of(account, exchange)
    submitted = exchange.request.body if task is None else task.body
    return {
        "number": exchange.number,
        "time": arrival.time,
        "operation": arrival.operation,
        "method": arrival.method,
        "path": mask.text(arrival.path),
        "outcome": arrival.outcome,
        "tone": arrival.tone,
        "why": mask.text(arrival.why),
        "request_id": None if task is None else task.request_id,
        "status": None if task is None else task.status,
        "lead_id": None if task is None else task.lead_id or None,
        **(describe_body(mask, submitted) if submitted else NOBODY),
    }


def show_call(account: Account, exchange: Exchange) -> Row:
    """A call with what was sent and what was answered."""
    mask, reply = Masker(exchange.request), exchange.reply
    shown = describe_call(account, exchange)
    if shown["why"].startswith(FAULT):
        shown["why"] += f": {describe_fault(shown['why'].removeprefix(FAULT))}"
    return {
        **shown,
        "query": mask.query(),
        "headers": mask.headers(),
        "body": mask.body(exchange.request.body),
        "size": exchange.sizes[0],
        "is_cut": exchange.sizes[0] > len(exchange.request.body),
        "reply": {
            "status": reply.status,
            "how": reply.how.value,
            "headers": list(mask.values(reply.headers).items()),
            "body": mask.body(reply.body),
            "size": exchange.sizes[1],
            "is_cut": exchange.sizes[1] > len(reply.body),
        },
    }


def task_of(account: Account, exchange: Exchange) -> Task | None:
    """The request that a call queued, or whose status it asked for."""
    if exchange.effects.task is not None or exchange.arrival.operation != "status":
        return exchange.effects.task
    return account.find_task(dict(parse_qsl(exchange.request.query)).get("RequestID", ""))


_READS = frozenset({"status", "metrics", "unknown", *SYNC}) - {"bulk"}


def _is_of_kind(arrival: Arrival, kind: str) -> bool:
    if kind == "problems":
        return arrival.tone != "ok"
    return kind == "all" or arrival.operation not in _READS


def _text_of(account: Account, exchange: Exchange) -> str:
    """What a search looks at: the line of a call, what was sent and what was answered."""
    arrival, task = exchange.arrival, task_of(account, exchange)
    parts = [arrival.method, arrival.path, arrival.operation, arrival.outcome, arrival.why]
    parts += [] if task is None else [task.request_id, task.status, task.lead_id, task.body]
    parts += [
        unquote_plus(exchange.request.query),
        *map(_searchable, (exchange.request.body, exchange.reply.body)),
    ]
    return "\n".join(parts).casefold()


def _searchable(body: bytes) -> str:
    """The text of a body; that of JSON without its escapes."""
    text = body.decode("utf-8", "replace")
    return f"{text}\n{NO_REQUEST.body(body)}" if "\\" in text else text


def _term(search: str) -> str:
    if len(search) > LONGEST_SEARCH:
        raise ValueError(f"search must be at most {LONGEST_SEARCH} characters long")
    return search.strip().casefold()


def _page(name: str, rows: Iterable[Row], limit: int) -> Row:
    if not 1 <= limit <= MOST_ROWS:
        raise ValueError(f"limit must be from 1 to {MOST_ROWS}")
    page = list(islice(rows, limit + 1))
    return {name: page[:limit], "has_more": len(page) > limit}
