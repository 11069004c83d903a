"""The connection to Redis or Valkey, and the script that it runs there.

redis-py is imported when the first store is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import socket
import uuid
from collections.abc import Callable
from contextvars import Context
from functools import cache
from importlib.resources import files
from typing import Any

from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.redis_messages import Incompatible, StoreReply, StoreRequest, StoreUnavailable
from leadsquared_async.logs import ClientLog

__all__ = ["RedisStore", "check_url", "script"]

CONNECTIONS = 8
"""Connections of one process, in one loop, for the requests of all its accounts."""
LISTENS_FOR = 60.0
"""Seconds of one wait for a hint. Without it, early redis-py 5 would apply the timeout for answers."""
LISTEN_AGAIN = 2.0
"""Seconds before listening for hints is retried."""
_HINT = re.compile(rb"([!-~]+) (\d{1,12})")
"""A key and microseconds."""


class RedisStore:
    """A store at a URL, in one event loop.

    Args:
        url: in redis-py's format.
        prefix: of all names in the store.
        timeout: seconds to connect. The caller bounds the wait for an answer.

    Attributes:
        requests: how many requests were made.
    """

    def __init__(self, url: str, *, prefix: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._client: Any = None
        self._listeners: dict[str, Callable[[float], None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._closed = False
        self._has_warned = False
        self.channel = f"{prefix}:hints:{uuid.uuid4().hex}"
        self.requests = 0

    async def exchange(self, key: str, request: StoreRequest) -> StoreReply:
        """Run the script on the state of that key.

        Raises:
            StoreUnavailable: the script did not run, or may have run without an answer.
            Incompatible: the state has another version.
        """
        from redis.exceptions import NoScriptError, RedisError  # noqa: PLC0415

        client = self._connected()
        arguments = (1, key, *request.arguments())
        self.requests += 1
        try:
            try:
                answer = await client.execute_command("EVALSHA", _digest(), *arguments)
            except NoScriptError:
                self.requests += 1
                answer = await client.execute_command("EVAL", script(), *arguments)
        except (RedisError, OSError) as error:
            if "WRONGTYPE" in str(error):  # Redis 6 puts other words first
                raise Incompatible(0) from None
            # redis-py's message may name the server, and the URL contains a password.
            raise StoreUnavailable(_kind_of(error)) from None
        return StoreReply.read(answer)

    def listen(self, key: str, on_hint: Callable[[float], None]) -> None:
        """Call `on_hint` with the seconds in each hint for that key."""
        if self._listening is None:
            self._listening = asyncio.create_task(
                self._listen(), name="leadsquared_async shared limit hints", context=Context()
            )
        self._listeners[key] = on_hint

    def forget(self, key: str, on_hint: Callable[[float], None]) -> None:
        """Stop calling `on_hint`; a later listener for that key stays."""
        if self._listeners.get(key) == on_hint:
            del self._listeners[key]

    async def aclose(self) -> None:
        """Close the connections for good, within two timeouts."""
        self._closed = True
        listening, self._listening = self._listening, None
        client, self._client = self._client, None
        try:
            if listening is not None:
                listening.cancel()
                await asyncio.wait([listening], timeout=self._timeout)
        finally:
            if client is not None:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(self._timeout):
                        await client.aclose()

    def _connected(self) -> Any:
        if self._closed:
            raise StoreUnavailable("it was closed")
        if self._client is None:
            from redis import asyncio as asyncio_redis  # noqa: PLC0415

            redis: Any = asyncio_redis  # its types are only partly known
            self._client = redis.Redis.from_pool(_pool_of(self._url, self._timeout))
        return self._client

    async def _listen(self) -> None:
        """Deliver hints; without them, processes ask at the time in the last reply."""
        from redis.exceptions import RedisError  # noqa: PLC0415

        while not self._closed:
            # redis-py raises ValueError for messages that it cannot decode.
            with contextlib.suppress(RedisError, OSError, TimeoutError, ValueError):
                async with self._connected().pubsub() as subscription:
                    await subscription.subscribe(self.channel)
                    while True:
                        message = await subscription.get_message(
                            ignore_subscribe_messages=True, timeout=LISTENS_FOR
                        )
                        if message is not None:
                            self._pass_on(message["data"])
            await asyncio.sleep(LISTEN_AGAIN)

    def _pass_on(self, data: object) -> None:
        data = data.encode(errors="replace") if isinstance(data, str) else data
        hint = _HINT.fullmatch(data) if isinstance(data, bytes) else None
        if hint is not None:
            on_hint = self._listeners.get(hint[1].decode())
            if on_hint is not None:
                on_hint(int(hint[2]) / 1e6)
        elif not self._has_warned:
            self._has_warned = True
            ClientLog(None).warning(
                "the channel of the shared rate limit carries messages that leadsquared_async did not send: "
                "they are ignored; make sure that no other program publishes to it"
            )


@cache
def script() -> str:
    """The Lua script that the store runs for each request."""
    return files("leadsquared_async.limiter").joinpath("redis_tokens.lua").read_text(encoding="utf-8")


@cache
def _digest() -> str:
    return hashlib.sha1(script().encode(), usedforsecurity=False).hexdigest()


def check_url(who: str, url: str, timeout: float) -> None:
    """Check a URL before its first use; the message begins with `who`.

    Raises:
        ConfigurationError: redis-py cannot read it, or this system has no Unix sockets. The message shows no
            part of the URL: if the password has a `/` or `#`, redis-py would show half of it as a port.
    """
    from redis.exceptions import RedisError  # noqa: PLC0415

    if url.startswith("unix://") and not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError(f"{who}: unix:// needs Unix sockets, which Windows lacks: use redis://")
    try:
        _pool_of(url, timeout).make_connection()
    except (ValueError, TypeError, RedisError):
        pass  # their messages may show a password
    else:
        return
    raise ConfigurationError(
        f"{who}: redis-py cannot read the url: percent-encode special characters in its password "
        "(/ # ? @ :), and check the port and the options"
    )


def _pool_of(url: str, timeout: float) -> Any:
    from redis import asyncio as asyncio_redis  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    redis: Any = asyncio_redis
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS + 1,  # one is for hints
        timeout=timeout,
        socket_timeout=None,  # the caller bounds the wait for an answer
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    pool.max_connections = max(pool.max_connections, 2)  # the URL may set 1, but one is for hints
    return pool


def _kind_of(error: Exception) -> str:
    """The kind of error, without the server's text, which could contain a secret."""
    from redis.exceptions import AuthenticationError  # noqa: PLC0415

    # redis-py raises ConnectionError for a wrong password, certificate or port alike.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (AuthenticationError, OSError)):
            return type(cause).__name__
        cause = cause.__cause__ or cause.__context__
    code = str(error).partition(" ")[0]
    return code if code.isascii() and code.isupper() and code.isalpha() else type(error).__name__
