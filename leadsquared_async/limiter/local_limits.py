"""Clients of one account keep to one limit: in one process without being told of each other.

`limiter/shared` has the same for many processes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.limiter.limiter import Limit
from leadsquared_async.limiter.queue import LOCK, Bucket

__all__ = ["InProcess", "Sharing", "join_bucket"]


class Sharing(Protocol):
    """Who shares a bucket with whom."""

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> Bucket:
        """The bucket of this account and kind of limit, with one more user."""
        ...

    async def leave(self, bucket: Bucket, limit: RateLimit) -> None:
        """One user less, who had declared this limit."""
        ...


class InProcess:
    """The clients of one process."""

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> Bucket:
        """The bucket of this account and kind of limit, with one more user."""
        return join_bucket(host, credentials, kind, limit)

    async def leave(self, bucket: Bucket, limit: RateLimit) -> None:
        """One user less, who had declared this limit."""
        if (change := bucket.leave(limit)) is not None:
            change.write_to(bucket.log)


_buckets: dict[tuple[str, object], Bucket] = {}
"""By account and clock."""


def join_bucket(host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> Bucket:
    """The bucket of this account, with one more user; the smallest limit of its open clients is kept.

    Each kind of limit has a bucket of its own. All event loops of a process share it, in whichever threads.

    It outlives its users until all its tokens are back: closing a client and opening another does not bring
    a second burst, and neither does a second `asyncio.run`.
    """
    account = hashlib.sha256(f"{host} {kind.value} {credentials.api_key.reveal()}".encode()).hexdigest()
    whose, clock = _clock_of(asyncio.get_running_loop())
    with LOCK:
        for key, known in list(_buckets.items()):
            if key[1] is whose and known.is_as_new():
                del _buckets[key]
        bucket = _buckets.get((account, whose))
        if bucket is None:
            bucket = _buckets[account, whose] = Bucket(limit, option=kind.option, clock=clock)
        change = bucket.join(limit)
    if change is not None:
        change.write_to(bucket.log)
    return bucket


def _clock_of(loop: asyncio.AbstractEventLoop) -> tuple[object, Callable[[], float]]:
    """Whose clock the loop's time is, and that clock.

    The loops of asyncio and of uvloop go by the machine's monotonic clock, though uvloop's may be late. Other
    loops may have a time of their own, such as a test's, which they share with loops of their kind.
    """
    kind = next((kind for kind in type(loop).__mro__ if "time" in vars(kind)), type(loop))
    if kind.__module__.partition(".")[0] in {"asyncio", "uvloop"}:
        return time.monotonic, time.monotonic
    return kind, _time_of_the_running_loop


def _time_of_the_running_loop() -> float:
    return asyncio.get_running_loop().time()


def _begin_anew() -> None:
    """In the child of a fork."""
    LOCK.release()
    for key, bucket in list(_buckets.items()):
        if key[1] is time.monotonic:
            bucket.forget_loops()
        else:
            del _buckets[key]  # its clock ended with the parent's loop


if sys.platform != "win32":
    # No thread changes a bucket while the process is copied.
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=_begin_anew)
