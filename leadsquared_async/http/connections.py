"""The connections to LeadSquared's hosts, and the reason when one fails."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple, cast

import httpcore
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
        urls = {url.netloc: url for url in map(httpx.URL, origins)}
        self.proxies = {host: proxy_for(str(url)) for host, url in urls.items()}
        # Plain http, for a sandbox, needs no certificates; reading them takes milliseconds.
        is_secure = any(url.scheme == "https" for url in urls.values())
        context = certificates().context if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._hosts = {
            host: _ToHost(_url(url), _factory(self.proxies[host], context)) for host, url in urls.items()
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._hosts[request.url.netloc].send(request)

    async def aclose(self) -> None:
        for connections in self._hosts.values():
            await connections.aclose()


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _factory(proxy: Proxy | None, context: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
    """A pool of httpcore that only creates connections: no request goes through the pool itself.

    A pool spends time on every request and answer that grows with the square of its idle connections, and a
    cancellation can leak one of its slots.
    """
    if proxy is None:
        return httpcore.AsyncConnectionPool(ssl_context=context, keepalive_expiry=KEEPALIVE)
    named = httpx.Proxy(proxy.url)  # it takes user and password out of the URL
    if proxy.url.scheme in {"http", "https"}:
        return httpcore.AsyncHTTPProxy(
            _url(named.url),
            proxy_auth=named.raw_auth,
            ssl_context=context,
            proxy_ssl_context=context if proxy.url.scheme == "https" else None,
            keepalive_expiry=KEEPALIVE,
        )
    try:
        return httpcore.AsyncSOCKSProxy(
            _url(named.url), proxy_auth=named.raw_auth, ssl_context=context, keepalive_expiry=KEEPALIVE
        )
    except RuntimeError:
        raise ConfigurationError(
            f'{proxy.variable} names a SOCKS proxy, which needs socksio: pip install "httpx[socks]"'
        ) from None


class _ToHost:
    """The connections to one host; the most recently used goes first. Tokens bound their number.

    Args:
        url: the host's URL.
        factory: creates the connections.
    """

    def __init__(self, url: httpcore.URL, factory: httpcore.AsyncConnectionPool) -> None:
        self._url = url
        self._factory = factory
        self._all: set[httpcore.AsyncConnectionInterface] = set()
        self._idle: dict[httpcore.AsyncConnectionInterface, Any] = {}  # with its stream in httpcore
        self._looked = time.monotonic()

    async def send(self, request: httpx.Request) -> httpx.Response:
        while self._idle:
            connection, socket = self._idle.popitem()
            if _is_usable(connection, socket):
                return await self._send(request, connection)
            await self.drop(connection)
        connection = self._factory.create_connection(self._url.origin)
        self._all.add(connection)
        opened = request.extensions["trace"] = _Opened()
        try:
            return await self._send(request, connection)
        except BaseException:
            await uninterrupted(opened.aclose())
            raise

    async def _send(
        self, request: httpx.Request, connection: httpcore.AsyncConnectionInterface
    ) -> httpx.Response:
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
        extensions = cast("dict[str, Any]", answer.extensions)
        stream = cast("httpx.AsyncByteStream", answer.stream)
        body = _Body(stream, self, connection, extensions.get("network_stream"))
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=extensions)

    async def put_back(self, connection: httpcore.AsyncConnectionInterface, socket: Any) -> None:
        """Keep it for the next request, and close idle connections that can no longer be used."""
        if not connection.is_idle() or _has_more(connection):
            await self.drop(connection)
            return
        self._idle[connection] = socket
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            for useless in [one for one, socket in self._idle.items() if not _is_usable(one, socket)]:
                if useless in self._idle:
                    del self._idle[useless]
                    await self.drop(useless)

    async def drop(self, connection: httpcore.AsyncConnectionInterface) -> None:
        await connection.aclose()
        self._all.discard(connection)

    async def aclose(self) -> None:
        self._idle.clear()
        for connection in list(self._all):
            await self.drop(connection)


def _is_usable(connection: httpcore.AsyncConnectionInterface, socket: Any) -> bool:
    """Whether it is young enough, and the server has neither closed it nor sent unrequested data."""
    return not (connection.has_expired() or _has_record(socket))


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


def _has_more(connection: httpcore.AsyncConnectionInterface) -> bool:
    """Whether bytes were read after the answer; h11 would take them for the answer to the next request."""
    inner: Any = connection
    while not hasattr(inner, "_h11_state"):
        inner = inner._connection  # noqa: SLF001 - a tunnel has one inside, and so has that
    return bool(inner._h11_state.trailing_data[0])  # noqa: SLF001 - httpcore has no public way


class _Opened:
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


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it frees the connection."""

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        connections: _ToHost,
        connection: httpcore.AsyncConnectionInterface,
        socket: Any,
    ) -> None:
        self._stream = stream
        self._connections = connections
        self._connection = connection
        self._socket = socket

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
        await self._connections.put_back(self._connection, self._socket)


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
