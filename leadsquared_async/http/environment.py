"""Connection settings from the environment: the proxy of each host, and the trusted certificates.

They are read here because an `httpx.AsyncClient` with a custom transport ignores HTTPS_PROXY and NO_PROXY.
"""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.request import getproxies, proxy_bypass
from weakref import WeakValueDictionary

import httpx

from leadsquared_async.config import setting
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.hosts import LOOPBACK

__all__ = ["Certificates", "Proxy", "certificates", "proxy_for"]

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_ADVICE = (
    "http://host:port, https://host:port or socks5://host:port, with user:password@ before the host if the "
    "proxy requires them; percent-encode their special characters"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy set in the environment.

    Attributes:
        variable: the environment variable that sets it.
        address: scheme, host and port, without user and password.
        url: with user and password.
    """

    variable: str
    address: str
    url: httpx.URL = field(repr=False)

    @property
    def has_credentials(self) -> bool:
        """Whether its URL has a user and password."""
        return bool(self.url.userinfo)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in logs."""
        password = self.url.password
        logged = repr(password.encode())[2:-1]  # httpcore logs a SOCKS password in this form
        login = b64encode(f"{self.url.username}:{password}".encode()).decode() if password else ""
        return tuple(text for text in (password, logged, self.url.userinfo.decode(), login) if text)


class Certificates(NamedTuple):
    """The certificate authorities to trust.

    Attributes:
        context: a TLS context that trusts them.
        source: a readable description of where they come from.
    """

    context: ssl.SSLContext
    source: str


def proxy_for(origin: str) -> Proxy | None:
    """The proxy for a host; None if it is reached directly.

    The scheme's variable precedes ALL_PROXY, and NO_PROXY precedes both. Loopback needs no proxy.

    Raises:
        ConfigurationError: the variable's value is invalid; the message does not show it.
    """
    url = httpx.URL(origin)
    if url.raw_host.decode() in LOOPBACK:
        return None
    proxies = getproxies()
    for kind in (url.scheme, "all"):
        if value := proxies.get(kind, "").strip():
            return None if _is_direct(url) else _proxy(_variable_of(kind, proxies[kind]), value)
    return None


def _is_direct(url: httpx.URL) -> bool:
    """Whether NO_PROXY covers the host: by name, parent domain, address, network, or `*`."""
    host = (
        url.netloc.decode() if url.port else f"{url.netloc.decode()}:{443 if url.scheme == 'https' else 80}"
    )
    if proxy_bypass(host):
        return True
    names = getproxies().get("no", "").lower().split(",")
    return any(_is_meant(name.strip(), host, url.raw_host.decode()) for name in names)


def _is_meant(name: str, host: str, address: str) -> bool:
    """Match what the standard library does not support: `*` in a list, `*.example.com`, networks."""
    if name.startswith("*"):
        return name == "*" or f".{host}".endswith(name[1:]) or f".{address}".endswith(name[1:])
    return _holds(name, address)


def _holds(network: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(network.strip("[]"), strict=False)
    except ValueError:
        return False


def _variable_of(kind: str, value: str) -> str:
    """The variable that set a proxy, or the system's settings."""
    names = sorted((name for name in os.environ if name.lower() == f"{kind}_proxy"), key=str.isupper)
    return next((name for name in names if os.environ[name] == value), "the system's settings")


def _proxy(variable: str, value: str) -> Proxy:
    url = None
    try:
        url = httpx.URL(value if "://" in value else f"http://{value}")
        host = url.raw_host.decode()
        is_host = ":" in host or _HOST.fullmatch(host) is not None
        # Anything after host and port may be part of a password with an unencoded `/`, `?` or `#`.
        is_all = url.raw_path == b"/" and not url.fragment and (url.port is None or 0 < url.port < 65536)
        usable = url.scheme in _SCHEMES and is_host and is_all
    except (httpx.InvalidURL, ValueError):  # its message shows the address, which may hold a password
        usable = False
    if url is None or not usable:
        raise ConfigurationError(f"{variable} is not a valid proxy address: set it to {_ADVICE}")
    address = f"{url.scheme}://{url.netloc.decode()}"
    return Proxy(variable, address, url)


def certificates() -> Certificates:
    """The certificates to trust: from SSL_CERT_FILE, else SSL_CERT_DIR, else those bundled with httpx.

    Open clients share a context, which takes 18 ms and almost a megabyte, until its file changes.

    Raises:
        ConfigurationError: a variable points to something without certificates, or that cannot be used.
    """
    _check_key_log()
    name, path, source = "", "", "those bundled with httpx (certifi)"
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if value := setting(variable, os.environ):
            name, path, source = variable, value, f"{value}, from {variable}"
            break
    key = (name, path, _modified(path), os.environ.get("SSLKEYLOGFILE"))
    context = _in_use.get(key)
    if context is None:
        context = _loaded(name, path) if name else httpx.create_ssl_context(trust_env=False)
        _in_use[key] = context
    return Certificates(context, source)


_in_use: WeakValueDictionary[tuple[object, ...], ssl.SSLContext] = WeakValueDictionary()


def _modified(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except (OSError, ValueError):
        return None


def _check_key_log() -> None:
    """Check SSLKEYLOGFILE, to which the standard library writes TLS keys for debugging."""
    if path := setting("SSLKEYLOGFILE", os.environ):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = path
        except OSError as error:
            raise ConfigurationError(
                f"SSLKEYLOGFILE points to {path!r}, which cannot be written ({error.strerror}): unset it"
            ) from None


def _loaded(name: str, path: str) -> ssl.SSLContext:
    is_file = name == "SSL_CERT_FILE"
    try:
        # OpenSSL accepts any folder unchecked, and would read a device forever.
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
        f"{name} points to {path!r}, {why}: set it to "
        f"{'a PEM file' if name == 'SSL_CERT_FILE' else 'a folder'} of CA certificates to trust, or unset it"
    ) from None
