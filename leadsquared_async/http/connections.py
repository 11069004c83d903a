"""Connections as the environment asks for them: a proxy for each host, and the certificates to trust.

An `httpx.AsyncClient` that is given a transport ignores HTTPS_PROXY and NO_PROXY, and a client has one proxy
for each host, so they are read here.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple, NoReturn, cast
from urllib.request import getproxies, proxy_bypass

import httpx

from leadsquared_async.config import LOOPBACK, setting
from leadsquared_async.errors import ConfigurationError

__all__ = ["Certificates", "Connections", "Failure", "Proxy", "certificates", "failure", "proxy_for"]

KEEPALIVE = 60.0
"""Seconds a connection is kept. httpx's 5 is just the window, and opens a new one for every second call."""
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_ADVICE = (
    "http://host:port, https://host:port or socks5://host:port, with user:password@ before the host if the "
    "proxy asks for them, their special characters percent-encoded"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, as the environment names it.

    Attributes:
        variable: the environment variable that names it.
        address: scheme, host and port; no user and password.
        url: with user and password.
    """

    variable: str
    address: str
    url: httpx.URL = field(repr=False)

    @property
    def has_credentials(self) -> bool:
        """Whether a user and password are given for it."""
        return bool(self.url.userinfo)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log line may show of it."""
        password = self.url.password
        logged = repr(password.encode())[2:-1]  # as httpcore's log has what it gives to a SOCKS proxy
        return tuple(text for text in (password, logged, self.url.userinfo.decode()) if text)


class Certificates(NamedTuple):
    """The authorities whose certificates are trusted.

    Attributes:
        context: with them.
        source: where they come from, for people.
    """

    context: ssl.SSLContext
    source: str


class Failure(NamedTuple):
    """Why a call could not be sent.

    Attributes:
        cause: in words that hold no secret.
        is_final: whether only a person can change it: another attempt is of no use.
    """

    cause: str
    is_final: bool


def proxy_for(origin: str) -> Proxy | None:
    """The proxy through which a host is reached; None if it is reached directly.

    By the scheme's variable, else ALL_PROXY; NO_PROXY goes before both, and this machine needs none.

    Raises:
        ConfigurationError: the variable names nothing that can be used; it shows none of its value.
    """
    url = httpx.URL(origin)
    if url.raw_host.decode() in LOOPBACK or _is_direct(url):
        return None
    proxies = getproxies()
    for kind in (url.scheme, "all"):
        if value := proxies.get(kind, "").strip():
            return _proxy(_variable_of(kind, proxies[kind]), value)
    return None


def _is_direct(url: httpx.URL) -> bool:
    """Whether NO_PROXY names the host: by its name, a domain above it, its address or network, or `*`."""
    host = (
        url.netloc.decode() if url.port else f"{url.netloc.decode()}:{443 if url.scheme == 'https' else 80}"
    )
    if proxy_bypass(host):
        return True
    names = getproxies().get("no", "").lower().split(",")
    return any(_is_meant(name.strip(), host, url.raw_host.decode()) for name in names)


def _is_meant(name: str, host: str, address: str) -> bool:
    """What the standard library does not see: `*` among others, `*.example.com`, a network."""
    if name.startswith("*"):
        return name == "*" or f".{host}".endswith(name[1:]) or f".{address}".endswith(name[1:])
    return _holds(name, address)


def _holds(network: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(network.strip("[]"), strict=False)
    except ValueError:
        return False


def _variable_of(kind: str, value: str) -> str:
    """The variable from which a proxy was taken; a system may have settings of its own beside them."""
    names = sorted((name for name in os.environ if name.lower() == f"{kind}_proxy"), key=str.isupper)
    return next((name for name in names if os.environ[name] == value), "the system's settings")


def _proxy(variable: str, value: str) -> Proxy:
    url = None
    try:
        url = httpx.URL(value if "://" in value else f"http://{value}")
        host = url.raw_host.decode()
        is_host = ":" in host or _HOST.fullmatch(host) is not None
        # More than host and port may be the end of a password with a `/`, a `?` or a `#`.
        is_all = url.raw_path == b"/" and not url.fragment and (url.port is None or 0 < url.port < 65536)
        usable = url.scheme in _SCHEMES and is_host and is_all
    except (httpx.InvalidURL, ValueError):  # its words would show the address, which may hold a password
        usable = False
    if url is None or not usable:
        raise ConfigurationError(f"{variable} is not the address of a proxy: set it to {_ADVICE}")
    address = f"{url.scheme}://{url.netloc.decode()}"
    return Proxy(variable, address, url)


def certificates() -> Certificates:
    """The certificates to trust: of SSL_CERT_FILE, else of SSL_CERT_DIR, else those that come with httpx.

    Raises:
        ConfigurationError: a variable names what holds no certificates, or cannot be used.
    """
    _check_key_log()
    if file := setting("SSL_CERT_FILE", os.environ):
        return Certificates(_loaded("SSL_CERT_FILE", file), f"{file}, from SSL_CERT_FILE")
    if folders := setting("SSL_CERT_DIR", os.environ):
        return Certificates(_loaded("SSL_CERT_DIR", folders), f"{folders}, from SSL_CERT_DIR")
    return Certificates(httpx.create_ssl_context(trust_env=False), "those that come with httpx (certifi)")


def _check_key_log() -> None:
    """SSLKEYLOGFILE, with which the standard library logs the keys of every TLS connection for debuggers."""
    if path := setting("SSLKEYLOGFILE", os.environ):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = path
        except OSError as error:
            raise ConfigurationError(
                f"SSLKEYLOGFILE names {path!r}, which cannot be written ({error.strerror}): unset it"
            ) from None


def _loaded(name: str, path: str) -> ssl.SSLContext:
    is_file = name == "SSL_CERT_FILE"
    try:
        # OpenSSL takes any folder without a look at it, and would read a device for ever.
        there = Path(path).is_file() if is_file else any(map(os.path.isdir, path.split(os.pathsep)))
        if not there:
            _unusable(name, path, "which is not a file" if is_file else "which is not a folder")
        return ssl.create_default_context(cafile=path) if is_file else ssl.create_default_context(capath=path)
    except ssl.SSLError:
        _unusable(name, path, "which contains no PEM certificate")
    except OSError as error:
        _unusable(name, path, f"which cannot be read ({error.strerror or type(error).__name__})")


def _unusable(name: str, path: str, why: str) -> NoReturn:
    raise ConfigurationError(
        f"{name} names {path!r}, {why}: set it to "
        f"{'a PEM file' if name == 'SSL_CERT_FILE' else 'a folder'} of the authorities to trust, or unset it"
    ) from None


class Connections(httpx.AsyncBaseTransport):
    """The connections to some hosts, each by the way that the environment asks for.

    Args:
        origins: the hosts.

    Attributes:
        proxies: by the host and port of an origin.

    Raises:
        ConfigurationError: the environment names a proxy or certificates that cannot be used.
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
    """The connections to one host, the last used first. Tokens bound their number.

    Each is a transport of its own: a pool of httpx takes time that grows with the square of its idle
    connections, at every request and every answer, and a cancellation can cost it a slot for good.
    """

    def __init__(self, proxy: Proxy | None, context: ssl.SSLContext) -> None:
        self._proxy = proxy
        self._context = context
        self._all: set[httpx.AsyncHTTPTransport] = set()
        self._idle: dict[httpx.AsyncHTTPTransport, float] = {}  # since when
        self._new()  # what is missing shows now

    async def send(self, request: httpx.Request) -> httpx.Response:
        if self._idle:
            connection, _ = self._idle.popitem()
        else:
            connection = self._new()
            self._all.add(connection)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self.drop(connection)
            raise
        response.stream = _Stream(cast("httpx.AsyncByteStream", response.stream), self, connection)
        return response

    async def put_back(self, connection: httpx.AsyncHTTPTransport) -> None:
        """Keep it for the next request, and close one that has been idle for too long."""
        now = time.monotonic()
        self._idle[connection] = now
        longest = next(iter(self._idle))
        if now - self._idle[longest] > KEEPALIVE:
            del self._idle[longest]
            await self.drop(longest)

    async def drop(self, connection: httpx.AsyncHTTPTransport) -> None:
        self._all.discard(connection)
        await connection.aclose()

    async def aclose(self) -> None:
        self._idle.clear()
        for connection in list(self._all):
            await self.drop(connection)

    def _new(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEEPALIVE)
        if self._proxy is None:
            return httpx.AsyncHTTPTransport(limits=limits, verify=self._context)
        # httpx would verify the certificate of a proxy without a look at SSL_CERT_FILE.
        own = self._context if self._proxy.url.scheme == "https" else None
        try:
            return httpx.AsyncHTTPTransport(
                limits=limits, verify=self._context, proxy=httpx.Proxy(self._proxy.url, ssl_context=own)
            )
        except ImportError:
            raise ConfigurationError(
                f'{self._proxy.variable} names a SOCKS proxy, which needs socksio: pip install "httpx[socks]"'
            ) from None


class _Stream(httpx.AsyncByteStream):
    """The body of an answer, with which its connection becomes free."""

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        connections: _ToHost,
        connection: httpx.AsyncHTTPTransport,
    ) -> None:
        self._stream = stream
        self._connections = connections
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            await self._connections.drop(self._connection)
            raise
        await self._connections.put_back(self._connection)


def failure(error: Exception, host: str, proxy: Proxy | None, cause: str) -> Failure:
    """Why a call that met an error could not be sent.

    Args:
        error: of the transport, before anything was sent.
        host: where the call was to go.
        proxy: the one between, as far as that is known.
        cause: the error in words that hold no secret.
    """
    named = f"the proxy of {proxy.variable}" if proxy is not None else "the proxy"
    if isinstance(error, httpx.ProxyError):
        return _refused(str(error), named, host, has_credentials=proxy is not None and proxy.has_credentials)
    broken = _tls_error(error)
    if isinstance(broken, ssl.SSLCertVerificationError):
        has_its_own = proxy is not None and proxy.url.scheme == "https"
        whose = f"{host}, or of {named}," if has_its_own else host
        return Failure(
            f"the certificate of {whose} cannot be verified ({broken.verify_message[:200]}): to trust it, "
            "as behind a proxy that inspects TLS, set SSL_CERT_FILE to a PEM file with the certificate of "
            "its authority",
            is_final=True,
        )
    if proxy is None:
        return Failure(f"no connection{cause}", is_final=False)
    if isinstance(error, httpx.ConnectError) and broken is None:
        return Failure(f"{named} cannot be reached{cause}", is_final=False)
    return Failure(f"no connection through {named}{cause}", is_final=False)


# What a proxy may answer when it works, and what is behind it does not.
_BEHIND = re.compile(r"5\d\d\b|Proxy Server could not connect: (?!Connection not allowed)")


def _refused(said: str, named: str, host: str, *, has_credentials: bool) -> Failure:
    """A proxy's answer to the question for a tunnel; of its words only the status is shown."""
    status = match[0] if (match := re.match(r"\d{3}\b", said)) else "refused"
    if _BEHIND.match(said):
        return Failure(f"{named} could not reach {host} ({status})", is_final=False)
    if said.startswith(("407", "Invalid username", "Requested ")):  # the words of SOCKS
        what = "rejects the user and password" if has_credentials else "asks for a user and password"
        return Failure(
            f"{named} {what} ({status}): write it as http://user:password@host:port", is_final=True
        )
    return Failure(
        f"{named} does not allow connections to {host} ({status}): ask its administrator to allow the host, "
        "or add the host to NO_PROXY if it can be reached directly",
        is_final=True,
    )


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error by which an error was caused, if it was."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
