"""Clean-up that is completed whatever happens to its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["uninterrupted"]


async def uninterrupted(cleanup: Coroutine[Any, Any, None]) -> None:
    """Run a clean-up to its end, however often the caller is cancelled, natively or by an anyio scope.

    It runs in a task of its own: a shielded scope keeps out the cancellation of another scope, but not
    `Task.cancel`. The caller's cancellation is raised when the clean-up has ended, so that has to be bounded.
    """
    import anyio  # noqa: PLC0415 - slow to import, and only for those who opened a client

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
            task.exception()  # retrieved: the cancellation is what the caller has to see
        raise cancelled
    task.result()
