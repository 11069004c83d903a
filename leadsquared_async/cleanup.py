"""Cleanup that completes even if its caller is cancelled; whether the running task was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["is_cancelled", "uninterrupted"]


async def uninterrupted(cleanup: Coroutine[Any, Any, None]) -> None:
    """Run a clean-up to its end, even if the caller is cancelled, by asyncio or an anyio scope.

    It runs in its own task: a shielded scope blocks cancellation by other scopes, but not by `Task.cancel`.
    The caller's cancellation is raised after the clean-up, so the clean-up must be bounded.
    """
    import anyio  # noqa: PLC0415 - slow to import, and needed by open clients only

    task = asyncio.create_task(cleanup, name="leadsquared_async clean-up")
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # mark it as retrieved; the caller gets the cancellation
        raise cancelled
    task.result()


def is_cancelled() -> bool:
    """Whether the running task was cancelled. What it awaits may also raise CancelledError, or swallow it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
