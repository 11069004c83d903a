"""A restarted sandbox does not have the rows that an outbox delivered to it before."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.terminal import counted
from leadsquared_async.config import LOOPBACK
from leadsquared_async.outbox import note_of, set_note

__all__ = ["check_instance", "instance_at", "note_instance"]

WITHIN = 2.0
NOTE = "sandboxes"


async def instance_at(origin: str) -> str | None:
    """The id of the sandbox that runs at an origin on this machine; None if none answers there.

    Args:
        origin: where calls go. Another machine's is not asked.
    """
    if urlsplit(origin).hostname not in LOOPBACK:
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


async def check_instance(
    outbox: Outbox | None, path: Path, origin: str, instance: str | None, *, known: int
) -> None:
    """Refuse an outbox that has delivered rows to another sandbox than the one that runs.

    Args:
        outbox: as an earlier run has left it; None if there is none.
        path: of its file.
        origin: where the sandbox runs.
        instance: of the sandbox that runs; None if there is none.
        known: how many rows of the input the outbox has delivered.

    Raises:
        CommandFailedError: it has.
    """
    if outbox is None or instance is None:
        return
    notes = await _notes(outbox)
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
        f"--again to send them again, or delete the outbox: rm {shlex.quote(str(path))}*"
    )


async def note_instance(outbox: Outbox, origin: str, instance: str | None) -> None:
    """Keep with an outbox which sandbox it delivers to, if it is one."""
    if instance is not None:
        notes = json.dumps(await _notes(outbox) | {origin: instance})
        await set_note(outbox, NOTE, notes)


async def _notes(outbox: Outbox) -> dict[str, str]:
    """The instance of the sandbox that the outbox has delivered to, by its origin."""
    noted = await note_of(outbox, NOTE)
    return {} if noted is None else json.loads(noted)
