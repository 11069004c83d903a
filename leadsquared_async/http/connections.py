"""The connections to LeadSquared's hosts, and the reason when one fails."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple, cast

import httpcore
import httpx

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.http.environment import Proxy, certificates, proxy_for
from leadsquared_async.http.network import Network

__all__ = ["Connections", "Failure", "failure"]

KEEPALIVE = 50.0
"""Seconds before an idle connection is closed. httpx's 5 equals the rate limit's window: every second call
would open a new connection. Many load balancers close after 60, which must not happen during a call."""
SPARE, SURPLUS_AFTER = 2, 10.0
"""How many connections may be idle for longer than how many seconds: a burst opens 25, a steady rate few."""
LOOK_EVERY = 1.0
"""Seconds between two searches for idle connections that can be closed."""


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
        urls = {url.netloc: url for url in map(httpx.URL, origins)}
        self.proxies = {host: proxy_for(str(url)) for host, url in urls.items()}
        # Plain http, for a sandbox, needs no certificates; reading them takes milliseconds.
        is_secure = any(url.scheme == "https" for url in urls.values())
        context = certificates().context if is_secure else None
        self._hosts = {
            host: _ToHost(_url(url), _creator(self.proxies[host], context)) for host, url in urls.items()
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._hosts[request.url.netloc].send(request)

    async def aclose(self) -> None:
        for connections in self._hosts.values():
            await connections.aclose()


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


Create = Callable[[httpcore.Origin, Network], httpcore.AsyncConnectionInterface]


def _creator(proxy: Proxy | None, context: ssl.SSLContext | None) -> Create:
    """What creates connections, directly or through a proxy.

    httpcore does it in its pools, but no request goes through one: that would spend time on every request and
    answer that grows with the square of its idle connections, and a cancellation could leak one of its slots.
    """
    pool: Callable[..., httpcore.AsyncConnectionPool] = httpcore.AsyncConnectionPool
    options: dict[str, Any] = {"ssl_context": context, "keepalive_expiry": KEEPALIVE}
    if proxy is not None:
        scheme = proxy.url.scheme
        named = httpx.Proxy(proxy.url)  # it takes user and password out of the URL
        options |= {"proxy_url": _url(named.url), "proxy_auth": named.raw_auth}
        if scheme == "https":
            options["proxy_ssl_context"] = context
        pool = httpcore.AsyncHTTPProxy if scheme in {"http", "https"} else httpcore.AsyncSOCKSProxy
        try:
            pool(**options)
        except RuntimeError:
            raise ConfigurationError(
                f'{proxy.variable} names a SOCKS proxy, which needs socksio: pip install "httpx[socks]"'
            ) from None
    return lambda origin, network: pool(**options, network_backend=network).create_connection(origin)


class _ToHost:
    """The connections to one host; the most recently used goes first. Tokens bound their number.

    Args:
        url: the host's URL.
        create: creates a connection.
    """

    def __init__(self, url: httpcore.URL, create: Create) -> None:
        self._url = url
        self._create = create
        self._all: dict[httpcore.AsyncConnectionInterface, Network] = {}
        self._idle: dict[httpcore.AsyncConnectionInterface, float] = {}  # and since when; the latest is last
        self._looked = time.monotonic()

    async def send(self, request: httpx.Request) -> httpx.Response:
        connection = await self._take()
        host = self._url
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=host.scheme, host=host.host, port=host.port, target=request.url.raw_path),
            headers=request.headers.raw,
            content=cast("httpx.AsyncByteStream", request.stream),
            extensions=request.extensions,
        )
        try:
            answer = await connection.handle_async_request(sent)
        except BaseException as error:
            await uninterrupted(self.drop(connection))
            if isinstance(error, _ERRORS):
                raise _of_httpx(error) from error
            raise
        body = _Body(cast("httpx.AsyncByteStream", answer.stream), self, connection)
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    async def _take(self) -> httpcore.AsyncConnectionInterface:
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.has_expired():  # nor closed by the server
                return connection
            await uninterrupted(self.drop(connection))
        network = Network()
        connection = self._create(self._url.origin, network)
        self._all[connection] = network
        return connection

    async def put_back(self, connection: httpcore.AsyncConnectionInterface) -> None:
        """Keep it for the next request, and close idle connections that are no longer needed."""
        if not connection.is_idle() or _has_more(connection):
            await self.drop(connection)
            return
        now = time.monotonic()
        self._idle[connection] = now
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            if useless := self._take_useless(now):
                await uninterrupted(self._drop_all(useless))

    def _take_useless(self, now: float) -> list[httpcore.AsyncConnectionInterface]:
        surplus = len(self._idle) - SPARE
        useless = [
            connection
            for place, (connection, since) in enumerate(self._idle.items())
            if connection.has_expired() or (place < surplus and now - since >= SURPLUS_AFTER)
        ]
        for connection in useless:
            del self._idle[connection]
        return useless

    async def drop(self, connection: httpcore.AsyncConnectionInterface) -> None:
        if (network := self._all.get(connection)) is not None:
            await connection.aclose()
            await network.aclose()  # httpcore leaves the socket open if a handshake is cancelled
            self._all.pop(connection, None)

    async def _drop_all(self, connections: Iterable[httpcore.AsyncConnectionInterface]) -> None:
        for connection in connections:
            await self.drop(connection)

    async def aclose(self) -> None:
        self._idle.clear()
        await self._drop_all(list(self._all))


def _has_more(connection: httpcore.AsyncConnectionInterface) -> bool:
    """Whether bytes were read after the answer; h11 would take them for the answer to the next request."""
    inner: Any = connection
    while not hasattr(inner, "_h11_state"):
        inner = inner._connection  # noqa: SLF001 - a tunnel has one inside, and so has that
    return bool(inner._h11_state.trailing_data[0])  # noqa: SLF001 - httpcore has no public way


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it frees the connection."""

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        connections: _ToHost,
        connection: httpcore.AsyncConnectionInterface,
    ) -> None:
        self._stream = stream
        self._connections = connections
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except _ERRORS as error:
            raise _of_httpx(error) from error

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            await uninterrupted(self._connections.drop(self._connection))
            raise
        await self._connections.put_back(self._connection)


_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


def _of_httpx(error: Exception) -> httpx.TransportError:
    """The error of httpx that has the same name."""
    kind = cast("type[httpx.TransportError]", getattr(httpx, type(error).__name__))
    return kind(str(error))


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
