"""The account's limit and a custom limiter as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from leadsquared_async.clock import clock
from leadsquared_async.limiter.interface import Limiter
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import TokenQueue

__all__ = ["ChainedLimiters"]


class ChainedLimiters:
    """The account's limiter followed by a custom one, whose methods may all raise.

    Args:
        account: the account's limiter.
        callers: the custom one.
        while_open: awaits the custom one until the client is closed.
    """

    def __init__(
        self,
        account: TokenQueue,
        callers: Limiter,
        while_open: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> None:
        self._account = account
        self._callers = callers
        self._while_open = while_open

    async def acquire(self, lane: Lane, deadline: float | None = None, client: object = None) -> None:
        await self._account.acquire(lane, deadline, client)
        try:
            at = None if deadline is None else deadline - clock.skipped
            async with asyncio.timeout_at(at):  # it may ignore the deadline
                await self._while_open(partial(self._callers.acquire, lane, at))
        except BaseException:
            self._account.release_unused()
            raise

    def release(self, *, counted: bool = True) -> None:
        self._account.release(counted=counted)
        self._callers.release(counted=counted)

    def release_unused(self) -> None:
        self._account.release_unused()
        self._callers.release_unused()

    def on_rate_limited(self, pause: float | None = None, named: tuple[int, float] | None = None) -> None:
        self._account.on_rate_limited(pause, named)
        self._callers.on_rate_limited(pause, named)
