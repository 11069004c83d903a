"""The connections to LeadSquared's hosts, and the reason when one fails."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple, cast

import httpx

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.http.environment import Proxy, certificates, proxy_for

__all__ = ["Connections", "Failure", "failure"]

KEEPALIVE = 50.0
"""Seconds before an idle connection is closed. httpx's 5 equals the rate limit's window: every second call
would open a new connection. Many load balancers close after 60, which must not happen during a call."""
LOOK_EVERY = 1.0
"""Seconds between two searches for idle connections that the server has closed."""


class Connections(httpx.AsyncBaseTransport):
    """The connections to the given hosts, through the proxies that the environment sets.

    Args:
        origins: the hosts' URLs.

    Attributes:
        proxies: the proxy of each host and port.

    Raises:
        ConfigurationError: a proxy or certificates set in the environment cannot be used.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        urls = [httpx.URL(origin) for origin in origins]
        self.proxies = {url.netloc: proxy_for(str(url)) for url in urls}
        # Plain http, for a sandbox, needs no certificates; reading them takes milliseconds.
        is_secure = any(url.scheme == "https" for url in urls)
        context = certificates().context if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._hosts = {host: _ToHost(proxy, context) for host, proxy in self.proxies.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._hosts[request.url.netloc].send(request)

    async def aclose(self) -> None:
        for connections in self._hosts.values():
            await connections.aclose()


class _ToHost:
    """The connections to one host; the most recently used goes first. Tokens bound their number.

    Each connection is its own transport. An httpx pool spends time on every request and answer that grows
    with the square of its idle connections, and a cancellation can leak one of its slots.
    """

    def __init__(self, proxy: Proxy | None, context: ssl.SSLContext) -> None:
        self._proxy = proxy
        self._context = context
        self._all: set[httpx.AsyncHTTPTransport] = set()
        self._idle: dict[httpx.AsyncHTTPTransport, _Idle] = {}
        self._looked = time.monotonic()
        self._new()  # raises now if a dependency is missing

    async def send(self, request: httpx.Request) -> httpx.Response:
        while self._idle:
            connection, idle = self._idle.popitem()
            if idle.is_usable(time.monotonic()):
                return await self._send(request, connection)
            await self.drop(connection)
        connection = self._new()
        self._all.add(connection)
        socket = request.extensions["trace"] = _Socket()
        try:
            return await self._send(request, connection)
        except BaseException:
            await uninterrupted(socket.aclose())
            raise

    async def _send(self, request: httpx.Request, connection: httpx.AsyncHTTPTransport) -> httpx.Response:
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await uninterrupted(self.drop(connection))
            raise
        socket = response.extensions.get("network_stream")  # mocks such as respx have none
        response.stream = _Stream(cast("httpx.AsyncByteStream", response.stream), self, connection, socket)
        return response

    async def put_back(self, connection: httpx.AsyncHTTPTransport, socket: Any) -> None:
        """Keep it for the next request, and close idle connections that can no longer be used."""
        if _has_more(connection):
            await self.drop(connection)
            return
        now = time.monotonic()
        self._idle[connection] = _Idle(now, socket)
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            for useless in [one for one, idle in self._idle.items() if not idle.is_usable(now)]:
                if self._idle.pop(useless, None) is not None:
                    await self.drop(useless)

    async def drop(self, connection: httpx.AsyncHTTPTransport) -> None:
        await connection.aclose()
        self._all.discard(connection)

    async def aclose(self) -> None:
        self._idle.clear()
        for connection in list(self._all):
            await self.drop(connection)

    def _new(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEEPALIVE)
        if self._proxy is None:
            return httpx.AsyncHTTPTransport(limits=limits, verify=self._context)
        # httpx ignores SSL_CERT_FILE when it verifies a proxy's certificate, unless it gets a context.
        own = self._context if self._proxy.url.scheme == "https" else None
        try:
            return httpx.AsyncHTTPTransport(
                limits=limits, verify=self._context, proxy=httpx.Proxy(self._proxy.url, ssl_context=own)
            )
        except ImportError:
            raise ConfigurationError(
                f'{self._proxy.variable} names a SOCKS proxy, which needs socksio: pip install "httpx[socks]"'
            ) from None


class _Idle(NamedTuple):
    """When a connection became idle, and its stream in httpcore."""

    since: float
    socket: Any

    def is_usable(self, now: float) -> bool:
        """Whether it is young enough, and the server has neither closed it nor sent unrequested data."""
        if now - self.since > KEEPALIVE:
            return False
        if self.socket is None:
            return True
        return not (self.socket.get_extra_info("is_readable") or _has_record(self.socket))


def _has_record(socket: Any) -> bool:
    """Whether a TLS record came with the answer's and is not decrypted yet; a byte of it is lost."""
    tls = socket.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject):
        return False
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        pass
    return True


def _has_more(connection: httpx.AsyncHTTPTransport) -> bool:
    """Whether bytes were read after the answer; h11 would take them for the answer to the next request."""
    pool = connection._pool  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - httpx has no public way
    inner: Any = next(iter(pool.connections), None)
    while inner is not None and not hasattr(inner, "_h11_state"):
        inner = getattr(inner, "_connection", None)  # a tunnel has one inside
    return inner is not None and bool(inner._h11_state.trailing_data[0])  # noqa: SLF001


class _Socket:
    """The TCP connection of a request, found by httpcore's trace, to be closed if the request fails.

    httpcore leaves it open when the TLS handshake is cancelled.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()


class _Stream(httpx.AsyncByteStream):
    """The body of an answer; closing it frees the connection."""

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        connections: _ToHost,
        connection: httpx.AsyncHTTPTransport,
        socket: Any,
    ) -> None:
        self._stream = stream
        self._connections = connections
        self._connection = connection
        self._socket = socket

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            await uninterrupted(self._connections.drop(self._connection))
            raise
        await self._connections.put_back(self._connection, self._socket)


class Failure(NamedTuple):
    """Why a call could not be sent.

    Attributes:
        cause: a text without secrets.
        is_final: whether retrying is pointless until a person fixes it.
    """

    cause: str
    is_final: bool


def failure(error: Exception, host: str, proxy: Proxy | None, cause: str) -> Failure:
    """Explain an error that the transport raised before anything was sent.

    Args:
        error: the transport's error.
        host: the host of the call.
        proxy: the proxy in use, if known.
        cause: the error as a text without secrets.
    """
    named = f"the proxy set in {proxy.variable}" if proxy is not None else "the proxy"
    if isinstance(error, httpx.ProxyError):
        return _refused(str(error), named, host, has_credentials=proxy is not None and proxy.has_credentials)
    broken = _tls_error(error)
    if isinstance(broken, ssl.SSLCertVerificationError):
        has_its_own = proxy is not None and proxy.url.scheme == "https"
        whose = f"{host}, or of {named}," if has_its_own else host
        return Failure(
            f"the certificate of {whose} cannot be verified ({broken.verify_message[:200]}): if "
            "you trust it, for example behind a proxy that inspects TLS, set SSL_CERT_FILE to a PEM file "
            "with its CA certificate",
            is_final=True,
        )
    if proxy is None:
        return Failure(f"no connection{cause}", is_final=False)
    if isinstance(error, httpx.ConnectError) and broken is None:
        return Failure(f"{named} cannot be reached{cause}", is_final=False)
    return Failure(f"no connection through {named}{cause}", is_final=False)


# Answers of a working proxy that cannot reach the host.
_BEHIND = re.compile(r"5\d\d\b|Proxy Server could not connect: (?!Connection not allowed)")


def _refused(said: str, named: str, host: str, *, has_credentials: bool) -> Failure:
    """The failure when a proxy rejects a tunnel; only the status of its answer is shown."""
    status = match[0] if (match := re.match(r"\d{3}\b", said)) else "refused"
    if _BEHIND.match(said):
        return Failure(f"{named} could not reach {host} ({status})", is_final=False)
    if said.startswith(("407", "Invalid username", "Requested ")):  # socksio's texts
        what = "rejects the user and password" if has_credentials else "asks for a user and password"
        return Failure(
            f"{named} {what} ({status}): write its URL as http://user:password@host:port", is_final=True
        )
    return Failure(
        f"{named} does not allow connections to {host} ({status}): ask its administrator to allow the host, "
        "or add the host to NO_PROXY if it can be reached directly",
        is_final=True,
    )


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error in the chain of causes, if any."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
