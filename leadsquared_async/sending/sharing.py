"""Clients of one account keep to one limit: in one process without being told of each other.

`sending/shared` has the same for many processes.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import Protocol

from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.sending.bucket import Bucket
from leadsquared_async.sending.call import Limit

__all__ = ["InProcess", "Sharing", "join_bucket"]


class Sharing(Protocol):
    """Who shares a bucket with whom."""

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> Bucket:
        """The bucket of this account and kind of limit, with one more user."""
        ...

    async def leave(self, bucket: Bucket) -> None:
        """One user less."""
        ...


class InProcess:
    """The clients of one process and event loop."""

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> Bucket:
        """The bucket of this account and kind of limit in the running loop, with one more user."""
        return join_bucket(host, credentials, kind, limit)

    async def leave(self, bucket: Bucket) -> None:
        """One user less."""
        bucket.users -= 1


_buckets: dict[str, list[Bucket]] = {}
_lock = threading.Lock()  # loops in other threads register here too


def join_bucket(host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> Bucket:
    """The bucket of this account in the running loop, with one more user; the smaller declared limit wins.

    Each kind of limit has a bucket of its own.

    It outlives its users until all its tokens are back: closing a client and opening another does not bring
    a second burst, and neither does a second `asyncio.run`.
    """
    loop = asyncio.get_running_loop()
    account = hashlib.sha256(f"{host} {kind.value} {credentials.api_key.reveal()}".encode()).hexdigest()
    with _lock:
        _forget_those_as_new(loop)
        known = _buckets.setdefault(account, [])
        bucket = next((bucket for bucket in known if bucket.loop is loop), None)
        if bucket is None:
            bucket = _successor(known, loop, kind, limit)
            known.append(bucket)
    if limit != bucket.declared:
        bucket.lower(limit, f"another client of this account declared {limit}")
    bucket.users += 1
    return bucket


def _successor(known: list[Bucket], loop: asyncio.AbstractEventLoop, kind: Limit, limit: RateLimit) -> Bucket:
    ended = [bucket for bucket in known if bucket.loop.is_closed()]
    for bucket in ended:
        known.remove(bucket)
    if not ended:
        return Bucket(limit, option=kind.option)
    tokens = ended[-1].bequeath()
    if tokens.is_full(loop.time()) and not ended[-1].learnt:
        return Bucket(limit, option=kind.option)  # what an earlier loop's clients declared is not asked for
    return Bucket(ended[-1].declared, option=kind.option, tokens=tokens, learnt=ended[-1].learnt)


def _forget_those_as_new(loop: asyncio.AbstractEventLoop) -> None:
    for account, buckets in list(_buckets.items()):
        buckets[:] = [bucket for bucket in buckets if bucket.loop is not loop or not bucket.is_as_new()]
        if not buckets:
            del _buckets[account]
