"""A line for each call, for the terminal: what was asked for and what became of it, without a value."""

import json
import re
from collections.abc import Iterator
from typing import cast

from leadsquared_async.sandbox.account import Arrival
from leadsquared_async.sandbox.keys import shown_path
from leadsquared_async.sandbox.messages import HINT, How, Reply, Request, one_line

LONGEST_LINE = 500
NAMES_SHOWN = 8
LARGEST = 1024 * 1024
"""Bytes of a body beyond which its names are not looked for."""

_NAME = re.compile(r"mx_[A-Za-z0-9_]{1,50}|[A-Za-z][A-Za-z_]{0,29}")
"""What is shown as a schema name: neither a key nor most values look like one."""


def line_of(request: Request, reply: Reply, arrival: Arrival | None) -> str:
    """One bounded line: method, path, outcome, schema names, RequestID, and why it was refused.

    `arrival` is None for what did not reach the account.
    """
    method, path = one_line(request.method, 20), shown_path(request, None)
    outcome = How.REFUSED.value if reply.how is How.REFUSED else str(reply.status)
    why = reply.headers.get(HINT, "")
    if arrival is not None:
        method, path, outcome, why = arrival.method, arrival.path, arrival.outcome, arrival.why
    parts = [method, path, outcome]
    if arrival is not None and request.method == "POST":
        parts.append(_names_of(request.body))
    if said := _said(reply) if arrival is not None else "":
        parts.append(f"-> {said}")
    line = " ".join(filter(None, parts))
    return one_line(f"{line}: {why}" if why else line, LONGEST_LINE)


def _names_of(body: bytes) -> str:
    try:
        content: object = json.loads(body) if len(body) <= LARGEST else None
    except (ValueError, RecursionError):
        return ""
    names = list(dict.fromkeys(_names_in(content)))
    shown = [name if _NAME.fullmatch(name) else "?" for name in names[:NAMES_SHOWN]]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(shown)}{more}"


def _names_in(content: object, depth: int = 0) -> Iterator[str]:
    """The schema names of a lead or of leads, or what an activity and the like are made of."""
    given = content
    if isinstance(content, list) and depth < 3:
        for entry in cast("list[object]", given):
            yield from _names_in(entry, depth + 1)
    elif isinstance(content, dict):
        entry = cast("dict[str, object]", content)
        name = entry.get("Attribute", entry.get("SchemaName"))
        if isinstance(name, str):
            yield name
        elif depth == 0:
            for key, value in entry.items():
                inner = list(_names_in(value, depth + 1))
                yield from inner or (key,)


def _said(reply: Reply) -> str:
    """The RequestID that was answered, with the status where one was asked for."""
    if len(reply.body) > LARGEST:
        return ""
    try:
        content: object = json.loads(reply.body)
    except ValueError:
        return ""
    if not isinstance(content, dict):
        return ""
    answer = cast("dict[str, object]", content)
    request_id = answer.get("RequestID", answer.get("RequestId"))
    if not isinstance(request_id, str):
        return ""
    task = answer.get("TaskStatus")
    status = cast("dict[str, object]", task).get("Status") if isinstance(task, dict) else None
    return f"{request_id} {status}" if isinstance(status, str) else request_id
