"""What a user makes: one limit for all processes that are given the same store."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from importlib import import_module

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.config import Credentials, RateLimit, seconds
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.limiter import Limit
from leadsquared_async.limiter.queue import Bucket
from leadsquared_async.limiter.redis_grantor import SharedBucket
from leadsquared_async.limiter.redis_store import RedisStore, check_url

__all__ = ["SharedLimiter"]

SCHEMES = ("redis", "rediss", "unix")
LONGEST_LEASE = 3600.0


@dataclass(slots=True)
class _Party:
    """What one process has in one event loop.

    Attributes:
        store: closed after the last of its buckets.
        buckets: those in use, by key.
        closing: how many have no user any more and are telling the store so.
    """

    store: RedisStore
    buckets: dict[str, SharedBucket] = field(default_factory=dict[str, SharedBucket])
    closing: int = 0


class SharedLimiter:
    """One rate limit for the clients of an account in many processes, through Redis or Valkey.

    Pass it to each client as `limiter=`; one may serve the clients of many accounts. It connects when the
    first call is made and closes with the last client.

    Args:
        url: of the store: "redis://host:6379/0", "rediss://…" or "unix:///path/to/socket".
        lease: seconds after which the calls in flight of a process that died are taken for ended. Their
            tokens come back two windows later.
        timeout: seconds for one request to the store; a slower one counts as none.
        prefix: of all names in the store, such as "leadsquared:limit:<digest of the account's key>".

    Raises:
        ConfigurationError: the URL is of another kind or cannot be read, a number is out of bounds, or
            redis-py is missing.
    """

    def __init__(
        self, url: str, *, lease: float = 3.0, timeout: float = 0.5, prefix: str = "leadsquared"
    ) -> None:
        if url.partition("://")[0] not in SCHEMES:
            raise ConfigurationError("SharedLimiter: url has to start with redis://, rediss:// or unix://")
        try:
            import_module("redis")
        except ImportError:
            raise ConfigurationError(
                'SharedLimiter needs the package redis: pip install "leadsquared_async[redis]"'
            ) from None
        self._timeout = seconds("timeout", timeout)
        check_url("SharedLimiter", url, self._timeout)
        self._url = url
        self._lease = seconds("lease", lease)
        if self._lease < 3 * self._timeout:
            raise ConfigurationError("SharedLimiter: lease has to be at least three times timeout")
        if self._lease > LONGEST_LEASE:
            raise ConfigurationError("SharedLimiter: lease has to be at most 3,600 seconds")
        if not prefix or not prefix.isascii() or not prefix.isprintable() or " " in prefix:
            raise ConfigurationError("SharedLimiter: prefix has to be ASCII without blanks")
        self._prefix = prefix
        self._parties: dict[tuple[int, asyncio.AbstractEventLoop], _Party] = {}

    def __repr__(self) -> str:
        return f"SharedLimiter({self._url.partition('://')[0]}://…, lease={self._lease:g})"

    @property
    def requests(self) -> int:
        """Requests to the store that the running loop has made."""
        party = self._parties.get((os.getpid(), asyncio.get_running_loop()))
        return 0 if party is None else party.store.requests

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> SharedBucket:
        """The bucket of this account in the running loop, with one more user; `leave` it when it is done."""
        key = self._key(host, credentials, kind)
        party = self._party()
        bucket = party.buckets.get(key)
        if bucket is None:
            bucket = party.buckets[key] = SharedBucket(
                limit,
                store=party.store,
                key=key,
                option=kind.option,
                lease=self._lease,
                timeout=self._timeout,
            )
        if (change := bucket.join(limit)) is not None:
            change.write_to(bucket.log)
        return bucket

    async def leave(self, bucket: Bucket, limit: RateLimit | None = None) -> None:
        """One user less; after the last, the store is told, and after the last bucket it is closed.

        Being cancelled leaves no connection open: it ends all the same, within a few timeouts, and only then
        the cancellation is raised.

        Args:
            bucket: that it had joined.
            limit: that it had declared; by default the one that the bucket was made with.
        """
        bucket.leave(bucket.declared if limit is None else limit)
        if bucket.users > 0 or not isinstance(bucket, SharedBucket):
            return
        party = self._party()
        for key, mine in list(party.buckets.items()):
            if mine is bucket:
                del party.buckets[key]
        party.closing += 1
        await uninterrupted(self._close(bucket, party))

    async def _close(self, bucket: SharedBucket, party: _Party) -> None:
        try:
            await bucket.aclose()
        finally:
            party.closing -= 1
            if not party.buckets and not party.closing:
                here = (os.getpid(), asyncio.get_running_loop())
                if self._parties.get(here) is party:
                    del self._parties[here]
                await party.store.aclose()

    def _party(self) -> _Party:
        here = (os.getpid(), asyncio.get_running_loop())
        for other in list(self._parties):
            # What a parent process or an ended loop had is of no use here.
            if other[0] != here[0] or other[1].is_closed():
                self._parties.pop(other, None)  # a loop in another thread may have been first
        party = self._parties.get(here)
        if party is None:
            store = RedisStore(self._url, prefix=self._prefix, timeout=self._timeout)
            party = self._parties[here] = _Party(store)
        return party

    def _key(self, host: str, credentials: Credentials, kind: Limit) -> str:
        """Names the account in the store, and does not tell its key."""
        account = f"{host} {kind.value} {credentials.api_key.reveal()}"
        return f"{self._prefix}:limit:{hashlib.sha256(account.encode()).hexdigest()}"
