"""One limit for all clients of an account in a process.

`redis_limits.py` does the same for many processes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from leadsquared_async.clock import clock
from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.lock import LOCK
from leadsquared_async.limiter.queue import TokenQueue

__all__ = ["AccountLimits", "LocalLimits", "account_digest", "forget_unused", "join_queue"]


class AccountLimits(Protocol):
    """Keeps the queue of each account; clients share it."""

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> TokenQueue:
        """Add a user to the queue of this account and kind of limit."""
        ...

    async def leave(self, queue: TokenQueue, limit: RateLimit) -> None:
        """Remove a user that declared this limit."""
        ...


class LocalLimits:
    """Shares a limit between the clients of one process."""

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> TokenQueue:
        """Add a user to the queue of this account and kind of limit."""
        return join_queue(host, credentials, kind, limit)

    async def leave(self, queue: TokenQueue, limit: RateLimit) -> None:
        """Remove a user that declared this limit."""
        before = queue.limit
        queue.leave(limit)
        queue.tell_limit(before)


class _Account(NamedTuple):
    queue: TokenQueue
    grantor: LocalGrantor
    clock: Callable[[], float]

    def is_idle(self) -> bool:
        """Whether it has no users and can be forgotten without loss."""
        self.queue.forget_ended_loops()
        return not self.queue.users and self.grantor.is_idle(self.clock())


_accounts: dict[tuple[str, object], _Account] = {}
"""By account and clock."""


def join_queue(host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> TokenQueue:
    """Add a user to this account's queue; the smallest limit of its open clients applies.

    Each kind of limit has its own queue, which all event loops and threads of the process share. It outlives
    its users until all its tokens are back, so neither a new client nor a second `asyncio.run` gets a second
    burst.
    """
    digest = account_digest(host, credentials, kind)
    timebase, time_now = _clock_of(asyncio.get_running_loop())
    with LOCK:
        for key, known in list(_accounts.items()):
            if key[1] is timebase and known.is_idle():
                del _accounts[key]
        account = _accounts.get((digest, timebase))
        if account is None:
            grantor = LocalGrantor(limit, kind)
            queue = TokenQueue(grantor, time_now=time_now)
            account = _accounts[digest, timebase] = _Account(queue, grantor, time_now)
        queue = account.queue
        before = queue.limit if queue.users else None  # a single client gets the limit it declares
        queue.join(limit)
    if before is not None:
        queue.tell_limit(before)
    return queue


def forget_unused() -> None:
    """Forget the calls of closed clients, for a test whose sandbox has forgotten them as well."""
    with LOCK:
        for key, account in list(_accounts.items()):
            account.queue.forget_ended_loops()
            if not account.queue.users:
                del _accounts[key]


def account_digest(host: str, credentials: Credentials, kind: Limit) -> str:
    """A digest that identifies an account and kind of limit without showing the key."""
    return hashlib.sha256(f"{host} {kind.value} {credentials.api_key.reveal()}".encode()).hexdigest()


def _clock_of(loop: asyncio.AbstractEventLoop) -> tuple[object, Callable[[], float]]:
    """The identity of a loop's clock, and the clock.

    The loops of asyncio and uvloop use the machine's monotonic clock, though uvloop's may be late. Other
    loops, such as a test's, may have their own time, which they share with loops of the same type.
    """
    kind = next((kind for kind in type(loop).__mro__ if "time" in vars(kind)), type(loop))
    if kind.__module__.partition(".")[0] in {"asyncio", "uvloop"}:
        return time.monotonic, _monotonic
    return kind, clock.now


def _monotonic() -> float:
    return time.monotonic() + clock.skipped


def _reset_after_fork() -> None:
    """Reset the state in the child of a fork."""
    for key, account in list(_accounts.items()):
        if key[1] is time.monotonic:
            account.queue.forget_loops()
        else:
            del _accounts[key]  # its clock ended with the parent's loop


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
