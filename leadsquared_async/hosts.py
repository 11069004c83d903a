"""The hosts that calls go to, from a region, an argument or the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from leadsquared_async.config import ENVIRONMENT, check_unquoted, setting
from leadsquared_async.errors import ConfigurationError

__all__ = ["LOOPBACK", "REGIONS", "Hosts", "hosts_from", "origin"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Hosts(NamedTuple):
    """The origins that calls go to: scheme, host and port, without a trailing slash."""

    host: str
    sync_host: str | None


# Only regions whose asynchronous host is documented or was seen in use; others need `host=`.
REGIONS = {
    "in21": Hosts("https://asyncapi-in21.leadsquared.com", "https://api-in21.leadsquared.com"),
    "us11": Hosts("https://asyncapi-us11.leadsquared.com", "https://api-us11.leadsquared.com"),
    "sg": Hosts("https://asyncapi.leadsquared.com", "https://api.leadsquared.com"),
}


def hosts_from(
    host: str | None, sync_host: str | None, region: str | None, environ: Mapping[str, str]
) -> Hosts:
    """The hosts from the arguments, else from the environment.

    With an explicit `host` or `region` the environment is not used, so that the keys of one account never go
    to another's host.
    """
    named = {"host": "host", "sync_host": "sync_host", "region": "region"}
    if host is None and region is None:
        host, region = setting(ENVIRONMENT["host"], environ), setting(ENVIRONMENT["region"], environ)
        named |= {"host": ENVIRONMENT["host"], "region": ENVIRONMENT["region"]}
        if sync_host is None:
            sync_host = setting(ENVIRONMENT["sync_host"], environ)
            named["sync_host"] = ENVIRONMENT["sync_host"]
    regional = None if region is None else _region(named["region"], region)
    if regional is not None:
        host = regional.host if host is None else host
        sync_host = regional.sync_host if sync_host is None else sync_host
    if host is None:
        raise ConfigurationError(
            f"no host: pass region= ({', '.join(REGIONS)}) or host=, or set {ENVIRONMENT['region']} or "
            f"{ENVIRONMENT['host']}"
        )
    hosts = Hosts(
        origin("host", host, named["host"]),
        None if sync_host is None else origin("sync_host", sync_host, named["sync_host"]),
    )
    _check_kinds(hosts, named)
    return hosts


_LEADSQUARED = re.compile(r"(?P<kind>async)?(?P<name>api(?:-[a-z]{2}[0-9]{2})?\.leadsquared\.com)")


def _check_kinds(hosts: Hosts, named: Mapping[str, str]) -> None:
    """Reject swapped hosts: the synchronous and the asynchronous host have different paths."""
    for option, given in hosts._asdict().items():
        match = None if given is None else _LEADSQUARED.fullmatch(given.removeprefix("https://"))
        if match is None or (match["kind"] is None) is (option == "sync_host"):
            continue
        kind, other = ("synchronous", "asynchronous") if option == "host" else ("asynchronous", "synchronous")
        right = f"https://{'async' if option == 'host' else ''}{match['name']}"
        is_known = any(right in region for region in REGIONS.values())
        raise ConfigurationError(
            f"{named[option]} is the {kind} host; the {other} host of this region is "
            f"{'' if is_known else 'probably '}{right}"
        )


def _region(named: str, region: str) -> Hosts:
    if isinstance(region, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        if region in REGIONS:
            return REGIONS[region]
        check_unquoted(named, region)
    what = "region" if named == "region" else f"region in {named}"
    raise ConfigurationError(
        f"unknown {what}: use {', '.join(REGIONS)}; for any other region pass the host= and sync_host= "
        "that LeadSquared gave you"
    )


def origin(option: Literal["host", "sync_host"], url: str, named: str | None = None) -> str:
    """Check that `url` is scheme, host and port, and return it without a trailing slash.

    A trailing `/v2/`, as LeadSquared shows its hosts, is removed, since the paths contain it.

    Args:
        option: which host it is.
        url: its address.
        named: the environment variable that it came from, if any.
    """
    named = named or option
    refused = ConfigurationError(
        f"{named} must be only scheme, host and port, such as "
        f"{REGIONS['in21'].host if option == 'host' else REGIONS['in21'].sync_host}"
    )
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refused
    check_unquoted(named, url)
    # urlsplit would silently drop line breaks.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise refused
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refused from None
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    authority = host if port is None else f"{host}:{port}"
    # The parts must add up to the input: a user or a query must not be dropped silently.
    if urlunsplit((parts.scheme, authority, parts.path, "", "")).lower() != url.lower():
        raise refused
    if not _is_host(name) or port == 0 or parts.path.lower() not in {"", "/", "/v2", "/v2/"}:
        raise refused
    if parts.scheme != "https" and not (parts.scheme == "http" and name in LOOPBACK):
        raise ConfigurationError(
            f"{named} must start with https:// (plain http:// is for a sandbox on 127.0.0.1 only, "
            "since the URL contains the keys)"
        )
    # With or without its default port it is the same host, with one limit.
    is_usual = port == (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host if is_usual else authority}"


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*{_LABEL}")
# Resolvers read these as IPv4 addresses: 127.1, 0x7f.1, 2130706433.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)")


def _is_host(name: str) -> bool:
    if ":" not in name and not _NUMERIC.fullmatch(name):
        return _HOSTNAME.fullmatch(name) is not None
    try:
        ip_address(name)
    except ValueError:
        return False
    return "%" not in name
