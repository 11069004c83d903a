"""What an outbox stores about earlier runs: names of files, counts of --again, ids of sandboxes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.run_options import is_trial
from leadsquared_async.cli.terminal import counted
from leadsquared_async.outbox import note_of, set_note
from leadsquared_async.printable import shell_word

__all__ = [
    "AGAIN",
    "FILES",
    "SANDBOXES",
    "check_instance",
    "generation_of",
    "instance_at",
    "name_in",
    "note",
    "printable_name",
]

FILES, AGAIN, SANDBOXES = "files", "again", "sandboxes"
"""Notes of an outbox, each a JSON object: names of files by path, runs with --again by name, sandboxes by
origin."""
WITHIN = 2.0


async def note(outbox: Outbox, name: str, key: str, value: object) -> None:
    there = await _noted(outbox, name)
    if there.get(key) != value:
        await set_note(outbox, name, json.dumps({**there, key: value}))


async def _noted(outbox: Outbox, name: str) -> dict[str, Any]:
    noted: dict[str, Any] = json.loads(await note_of(outbox, name) or "{}")
    return noted


async def name_in(outbox: Outbox, path: Path) -> str:
    """A file's name in references; with a number if another file has the name."""
    names: dict[str, str] = await _noted(outbox, FILES)
    taken = {name for place, name in names.items() if place != str(path)}
    first = name = printable_name(path)
    number = 1
    while name in taken:
        number += 1
        name = f"{first} ({number})"
    return names.get(str(path), name)


def printable_name(path: Path) -> str:
    """A file's name as valid UTF-8, for SQLite and terminals."""
    return os.fsencode(path.name).decode("utf-8", "replace")


async def generation_of(outbox: Outbox, name: str) -> tuple[int, datetime]:
    """The number of this --again run and its start: the last one if it was not finished, else the next."""
    number, is_finished, *since = (await _noted(outbox, AGAIN)).get(name, (0, True))
    if is_finished:
        return number + 1, datetime.now(UTC)
    return number, datetime.fromisoformat(since[0])


async def instance_at(origin: str) -> str | None:
    """The id of the sandbox that runs at an origin on this machine; None if there is none."""
    import httpx  # noqa: PLC0415 - slow to import

    if not is_trial(origin):
        return None
    try:
        async with asyncio.timeout(WITHIN), httpx.AsyncClient(trust_env=False) as client:
            content: object = (await client.get(f"{origin}/_sandbox/")).json()
    except (httpx.HTTPError, ValueError, RecursionError, TimeoutError):
        return None
    if not isinstance(content, dict):
        return None
    instance = cast("dict[str, object]", content).get("instance")
    return instance if isinstance(instance, str) and re.fullmatch(r"[0-9a-f-]{36}", instance) else None


async def check_instance(outbox: Outbox, path: Path, origin: str, instance: str, *, known: int) -> None:
    """Refuse an outbox that has delivered rows, `known` ones of the input, to another sandbox."""
    notes = await _noted(outbox, SANDBOXES)
    if notes.get(origin) == instance:
        return
    counts = (await outbox.snapshot()).counts
    if origin in notes:
        known = sum(counts.values()) - counts[ItemState.PENDING]
    if not notes or not known:  # at another port only rows with keys of their own are known
        return
    pending = counts[ItemState.PENDING]
    left = f"; {counted(pending, 'row')} more are still to be sent" if pending else ""
    raise CommandFailedError(
        f"{path} holds {counted(known, 'row')} delivered to a sandbox that was restarted or reset since, or "
        f"to another one{left}. The running sandbox does not have them, so nothing was sent. Pass "
        f"--again to send them again, or delete the outbox: rm {shell_word(path)}*"
    )
