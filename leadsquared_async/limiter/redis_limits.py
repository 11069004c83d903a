"""One rate limit for many processes, kept in Redis or Valkey."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from importlib import import_module

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.config import Credentials, RateLimit, seconds
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.local_limits import account_digest
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.limiter.redis_store import RedisStore, check_url

__all__ = ["SharedLimiter"]

SCHEMES = ("redis", "rediss", "unix")
LONGEST_LEASE = 3600.0


@dataclass(slots=True)
class _LoopState:
    """The state of one process in one event loop.

    Attributes:
        store: closed after the last of its grantors.
        grantors: those in use, by key.
        closing: how many grantors without users still report to the store.
    """

    store: RedisStore
    grantors: dict[str, RedisGrantor] = field(default_factory=dict[str, RedisGrantor])
    closing: int = 0


class SharedLimiter:
    """One rate limit for the clients of an account in many processes, through Redis or Valkey.

    Pass it to each client as `limiter=`; one instance can serve clients of many accounts. It connects at the
    first call and closes with the last client.

    Args:
        url: of the store: "redis://host:6379/0", "rediss://…" or "unix:///path/to/socket".
        lease: seconds after which a dead process's calls in flight count as ended. Their tokens return two
            windows later.
        timeout: seconds for one request to the store; slower answers are ignored.
        prefix: of all names in the store, such as "leadsquared:limit:<digest of the account's key>".

    Raises:
        ConfigurationError: the URL is invalid, a number is out of bounds, or redis-py is missing.
    """

    def __init__(
        self, url: str, *, lease: float = 3.0, timeout: float = 0.5, prefix: str = "leadsquared"
    ) -> None:
        if url.partition("://")[0] not in SCHEMES:
            raise ConfigurationError("SharedLimiter: url must start with redis://, rediss:// or unix://")
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
            raise ConfigurationError("SharedLimiter: lease must be at least three times timeout")
        if self._lease > LONGEST_LEASE:
            raise ConfigurationError("SharedLimiter: lease must be at most 3,600 seconds")
        if not prefix or not prefix.isascii() or not prefix.isprintable() or " " in prefix:
            raise ConfigurationError("SharedLimiter: prefix must be ASCII without blanks")
        self._prefix = prefix
        self._states: dict[tuple[int, asyncio.AbstractEventLoop], _LoopState] = {}
        # By key: of grantors that closed in an outage, so that the next one gets no new burst.
        self._shares: dict[str, LocalGrantor] = {}

    def __repr__(self) -> str:
        return f"SharedLimiter({self._url.partition('://')[0]}://…, lease={self._lease:g})"

    @property
    def requests(self) -> int:
        """Requests to the store that the running loop has made."""
        state = self._states.get(_here())
        return 0 if state is None else state.store.requests

    def join(self, host: str, credentials: Credentials, kind: Limit, limit: RateLimit) -> TokenQueue:
        """Add a user to this account's queue in the running loop; call `leave` afterwards."""
        key = f"{self._prefix}:limit:{account_digest(host, credentials, kind)}"
        state = self._state()
        grantor = state.grantors.get(key)
        if grantor is None:
            grantor = state.grantors[key] = RedisGrantor(
                limit,
                store=state.store,
                key=key,
                kind=kind,
                lease=self._lease,
                timeout=self._timeout,
                share=self._shares.pop(key, None),
            )
        queue = grantor.queue
        before = queue.limit
        queue.join(limit)
        queue.tell_limit(before)
        return queue

    async def leave(self, queue: TokenQueue, limit: RateLimit | None = None) -> None:
        """Remove a user. The last one reports to the store, which is closed after its last queue.

        If cancelled, it closes everything, within a few timeouts, before it raises.

        Args:
            queue: the queue that `join` returned.
            limit: the limit that the user declared; by default the one that the queue was created with.
        """
        before = queue.limit
        queue.leave(queue.declared if limit is None else limit)
        queue.tell_limit(before)
        state = self._state()
        if queue.users > 0:
            return
        for key, grantor in list(state.grantors.items()):
            if grantor.queue is queue:
                del state.grantors[key]
                state.closing += 1
                if grantor.share is not None and not grantor.share.out:
                    self._shares[key] = grantor.share
                await uninterrupted(self._close(grantor, state))
                return

    async def _close(self, grantor: RedisGrantor, state: _LoopState) -> None:
        try:
            await grantor.aclose()
        finally:
            state.closing -= 1
            if not state.grantors and not state.closing:
                if self._states.get(_here()) is state:
                    del self._states[_here()]
                await state.store.aclose()

    def _state(self) -> _LoopState:
        here = _here()
        for other in list(self._states):
            # The state of a parent process or an ended loop cannot be used here.
            if other[0] != here[0] or other[1].is_closed():
                self._states.pop(other, None)  # another thread may have removed it
        state = self._states.get(here)
        if state is None:
            store = RedisStore(self._url, prefix=self._prefix, timeout=self._timeout)
            state = self._states[here] = _LoopState(store)
        return state


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()
