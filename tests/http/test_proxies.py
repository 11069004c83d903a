"""Calls go through the proxy that the environment names, and its refusals are named."""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import AsyncIterator
from unittest import mock
from urllib.parse import quote

import httpcore
import httpx
import pytest

from leadsquared_async import (
    ConfigurationError,
    ConnectionFailed,
    Fault,
    LeadSquared,
    Timeout,
)
from leadsquared_async.http.connections import failure
from leadsquared_async.http.environment import proxy_for
from leadsquared_async.sandbox import Sandbox
from tests.clients import KEYS, LEAD, answering, client_of, own_connections
from tests.http.proxies import (
    HOST,
    PASSWORD,
    TRUSTED,
    TWICE,
    Proxy,
    client,
    refused,
    running_proxy,
)
from tests.leaks import shown

REGIONAL = "https://asyncapi-in21.leadsquared.com"
SYNC = "https://api-in21.leadsquared.com"
PROXY = "http://proxy.invalid:3128"


@pytest.fixture
async def proxy(server: int) -> AsyncIterator[Proxy]:
    """A proxy before that server."""
    async with running_proxy(server) as running:
        yield running


# which proxy


@pytest.mark.parametrize(
    ("environment", "expected", "variable"),
    [
        ({}, set(), None),
        ({"HTTPS_PROXY": PROXY}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"https_proxy": PROXY}, {REGIONAL, SYNC}, "https_proxy"),
        ({"ALL_PROXY": PROXY}, {REGIONAL, SYNC}, "ALL_PROXY"),
        ({"all_proxy": PROXY}, {REGIONAL, SYNC}, "all_proxy"),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other.invalid"}, {REGIONAL, SYNC}, "https_proxy"),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://other.invalid"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": PROXY}, {REGIONAL, SYNC}, "ALL_PROXY"),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": PROXY}, {REGIONAL, SYNC}, "ALL_PROXY"),
        ({"HTTPS_PROXY": ""}, set(), None),
        ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, set(), None),
        ({"HTTP_PROXY": PROXY, "http_proxy": PROXY}, set(), None),
        ({"HTTPS_PROXY": "proxy.invalid:3128"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": f" {PROXY}\n"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": f"http://me:{PASSWORD}@proxy.invalid:3128/"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ""}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "leadsquared.com"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".leadsquared.com"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*.leadsquared.com"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "LeadSquared.COM"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "a.invalid, leadsquared.com"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.invalid, *"}, set(), None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "asyncapi-in21.leadsquared.com"}, {SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "api-in21.leadsquared.com"}, {REGIONAL}, "HTTPS_PROXY"),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "asyncapi-in21.leadsquared.com:443"}, {SYNC}, "ALL_PROXY"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "leadsquared.com:8443"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "squared.com"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8, ::1"}, {REGIONAL, SYNC}, "HTTPS_PROXY"),
    ],
)
async def test_each_host_has_a_proxy_of_its_own(
    environment: dict[str, str],
    expected: set[str],
    variable: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The scheme's variable goes before ALL_PROXY, NO_PROXY before both, and connections follow that."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = {origin: proxy for origin in (REGIONAL, SYNC) if (proxy := proxy_for(origin)) is not None}
    assert set(found) == expected
    assert {(proxy.address, proxy.variable) for proxy in found.values()} == (
        {(PROXY, variable)} if expected else set()
    )
    assert PASSWORD not in repr(found)
    async with LeadSquared(**KEYS, region="in21") as lsq:
        for origin in (REGIONAL, SYNC):
            connection = own_connections(lsq, origin)._create(httpcore.URL(origin).origin, None)
            first_hop = getattr(connection, "_proxy_origin", None)
            assert first_hop == (httpcore.URL(PROXY).origin if origin in expected else None)


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_direct"),
    [
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://10.1.2.3", "10.1.2.3:8443", False),
        ("https://10.1.2.3", "10.1.2", False),
        ("https://[2001:db8::1]", "2001:db8::/32", True),
        ("https://[2001:db8::1]", "2001:db8::1", True),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]", True),
        ("https://[2001:db9::1]", "2001:db8::/32", False),
        ("https://localhost:8025", "", True),
        ("http://127.0.0.1:8025", "", True),
        ("http://[::1]:8025", "", True),
        ("https://10.1.2.3", "10.0.0.0/99, not/a/network, ,", False),
    ],
)
def test_addresses_and_networks_in_no_proxy(
    host: str, no_proxy: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address is matched whole, with its port, or by its network; this machine never has a proxy."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(host) is None) is is_direct


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        f"gopher://me:{PASSWORD}@proxy.invalid",
        f"http://me:{PASSWORD}#@proxy.invalid:3128",
        f"http://me:{PASSWORD}/x@proxy.invalid",
        f"http://me:1?{PASSWORD}@proxy.invalid",
        f"http://me:{PASSWORD}@proxy.invalid:port",
        f"http://me:{PASSWORD}@proxy.invalid:99999",
        f"http://me:{PASSWORD}@proxy.invalid:0",
        f"http://me:{PASSWORD}@proxy.invalid:-1",
        f"http://me:{PASSWORD}@{'a' * 64}.invalid",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}@proxy.invalid, http://other.invalid",
        f"http://me:{PASSWORD}@",
        f"http://me:{PASSWORD}\n@proxy.invalid",
        f"http://me:{PASSWORD}@proxy invalid",
        f"{PASSWORD}\udcff",
        "http://",
        "://",
        "https//proxy.invalid",
        f'"http://me:{PASSWORD}@proxy.invalid"',
    ],
)
async def test_a_proxy_that_is_no_address_is_refused_by_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable without its value, and the client stays closed."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        await client().__aenter__()
    assert str(caught.value).startswith(f"{name} is not a valid proxy address: set it to http://host:port")
    assert PASSWORD not in shown(caught.value)


async def test_a_socks_proxy_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the command that installs the package."""
    missing = mock.Mock(side_effect=RuntimeError)  # as httpcore's class without the package
    monkeypatch.setattr(httpcore, "AsyncSOCKSProxy", missing)
    monkeypatch.setenv("ALL_PROXY", f"socks5://me:{PASSWORD}@proxy.invalid")
    with pytest.raises(ConfigurationError) as caught:
        await client().__aenter__()
    assert str(caught.value) == (
        'ALL_PROXY names a SOCKS proxy, which needs socksio: pip install "httpx[socks]"'
    )
    assert PASSWORD not in shown(caught.value)


# through a proxy


@pytest.mark.parametrize(
    "spelling", ["http://127.0.0.1:{port}", "127.0.0.1:{port}", "http://localhost:{port}/"]
)
async def test_calls_go_through_the_proxy(
    spelling: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy opens a tunnel to each host and sees no key."""
    monkeypatch.setenv("HTTPS_PROXY", spelling.format(port=proxy.port))
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    async with client() as lsq:
        assert (await lsq.leads.capture(LEAD)).request_id == "3f0c2c4e"
        assert await lsq.request("GET", "/v2/x", host="sync") == {"RequestID": "3f0c2c4e"}
    assert proxy.asked == ["asyncapi.leadsquared.invalid:443", "api.leadsquared.invalid:443"]
    assert not any(key.encode() in head for key in KEYS.values() for head in proxy.heads)


async def test_one_host_through_the_proxy_and_the_other_directly(
    server: int, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY for one host does not affect the other."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url())
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    async with client(sync_host=f"https://127.0.0.1:{server}") as lsq:
        await lsq.leads.capture(LEAD)
        await lsq.request("GET", "/v2/x", host="sync")
    assert proxy.asked == ["asyncapi.leadsquared.invalid:443"]


async def test_a_proxy_that_speaks_tls(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own certificate is verified by SSL_CERT_FILE too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    async with running_proxy(server, TRUSTED) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(scheme="https"))
        async with client() as lsq:
            await lsq.leads.capture(LEAD)
        monkeypatch.delenv("SSL_CERT_FILE")
        error = await refused()
    assert error.fault is Fault.ACCOUNT
    assert "of the proxy set in HTTPS_PROXY," in str(error)


async def test_user_and_password_for_the_proxy(
    server: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are percent-decoded and appear in no log line."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    async with running_proxy(server, credentials=f"me:@ {PASSWORD}") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(f"me:%40%20{PASSWORD}"))
        async with client() as lsq:
            await lsq.leads.capture(LEAD)
    assert proxy.opened == 1
    assert PASSWORD not in caplog.text


async def test_a_login_that_the_proxy_repeats_is_in_no_log_line(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It appears neither plain nor as the header encodes it."""
    caplog.set_level(logging.DEBUG)
    login = base64.b64encode(f"me:{PASSWORD}".encode())
    monkeypatch.setenv("HTTPS_PROXY", proxy.url(f"me:{PASSWORD}"))
    proxy.answers = [b"407 No\r\nX-Echo: Basic " + login]
    await refused()
    assert "X-Echo" in caplog.text
    assert login.decode() not in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "asks for a user and password (407)"),
        (f"me:{PASSWORD}", "rejects the user and password (407)"),
    ],
)
async def test_a_proxy_that_asks_for_a_password_is_final(
    given: str | None, message: str, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once, and the error names the variable."""
    async with running_proxy(server, credentials="me:right") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url(given))
        error = await refused()
    assert str(error) == (
        f"leads.capture: the proxy set in ALL_PROXY {message}: write its URL as "
        "http://user:password@host:port. Not sent."
    )
    assert (error.fault, error.attempts, error.safe_to_retry) == (Fault.ACCOUNT, 1, False)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("status", [302, 400, 403, 429])
async def test_a_proxy_that_refuses_is_final(
    status: int, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names host and variable and asks for permission; it repeats none of the proxy's words."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url(f"me:{PASSWORD}"))
    proxy.answers = [f"{status} {PASSWORD}".encode()] * 5
    error = await refused()
    assert str(error) == (
        "leads.capture: the proxy set in HTTPS_PROXY does not allow connections to "
        f"asyncapi.leadsquared.invalid ({status}): ask its administrator to allow the host, or "
        "add the host to NO_PROXY if it can be reached directly. Not sent."
    )
    assert (error.fault, error.attempts, error.safe_to_retry) == (Fault.ACCOUNT, 1, False)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_proxy_that_does_not_reach_the_host_is_tried_again(
    status: int, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second attempt arrives; if none does, the error names the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url())
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    proxy.answers = [f"{status} Bad".encode()]
    async with client() as lsq:
        assert (await lsq.leads.capture(LEAD)).attempts == 2
    proxy.answers = [f"{status} Bad".encode()] * 2
    error = await refused()
    assert (error.fault, error.attempts, error.safe_to_retry) == (Fault.SERVER, 2, True)
    reason = f"the proxy set in HTTPS_PROXY could not reach asyncapi.leadsquared.invalid ({status})"
    assert reason in str(error)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "https://127.0.0.1:9", "http://proxy.invalid:3128"]
)
async def test_a_proxy_that_is_not_there_is_tried_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is retried like any connection, and the error names the proxy."""
    monkeypatch.setenv("https_proxy", address)
    error = await refused()
    assert (error.fault, error.attempts, error.safe_to_retry) == (Fault.SERVER, 2, True)
    reason = "leads.capture: the proxy set in https_proxy cannot be reached (ConnectError"
    assert str(error).startswith(reason)


async def test_a_proxy_that_does_not_answer(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout before anything was sent names the proxy's variable."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url())
    proxy.is_silent = True
    error = await refused(timeout=0.1)
    assert isinstance(error, Timeout)
    assert "no connection through the proxy set in HTTPS_PROXY within 0.1 s" in str(error)


@pytest.mark.parametrize(
    ("said", "is_final", "cause"),
    [
        ("Invalid username/password", True, "rejects the user and password (refused)"),
        ("Requested NO AUTHENTICATION REQUIRED from proxy server, but got X.", True, "user and password"),
        ("Proxy Server could not connect: Connection not allowed by ruleset.", True, "does not allow"),
        ("Proxy Server could not connect: Connection refused.", False, "could not reach a.invalid"),
        ("Proxy Server could not connect: Host unreachable.", False, "could not reach a.invalid"),
        ("511 Network Authentication Required", False, "could not reach a.invalid (511)"),
        ("", True, "does not allow connections"),
    ],
)
def test_what_a_socks_proxy_says(
    said: str, is_final: bool, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of the proxy is final; an unreachable host is not."""
    monkeypatch.setenv("ALL_PROXY", f"socks5://me:{PASSWORD}@proxy.invalid")
    seen = failure(httpx.ProxyError(said), "a.invalid", proxy_for(HOST), "")
    assert seen.is_final is is_final
    assert cause in seen.cause


async def test_a_call_to_this_machine_never_meets_a_proxy(
    sandbox: Sandbox, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every proxy variable set, a sandbox's calls arrive directly, and no certificates are read."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there.pem")
    async with client_of(sandbox) as lsq:
        await lsq.leads.capture(LEAD)
    assert proxy.asked == []


async def test_a_transport_of_the_callers_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller's transport takes no proxy of the environment; a refusal of its own proxy is final."""
    monkeypatch.setenv("HTTPS_PROXY", "gopher://nowhere.invalid")
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there.pem")
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"RequestID": "3f0c2c4e"}))
    async with LeadSquared(**KEYS, host=REGIONAL, transport=answer) as lsq:
        assert (await lsq.leads.capture(LEAD)).request_id == "3f0c2c4e"

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ProxyError("407 Proxy Authentication Required")

    async with answering(refuse, retry=TWICE) as lsq:
        with pytest.raises(ConnectionFailed, match=r"the proxy asks for a user and password") as caught:
            await lsq.leads.capture(LEAD)
    assert (caught.value.fault, caught.value.attempts) == (Fault.ACCOUNT, 1)


@pytest.mark.parametrize("password", [PASSWORD, "p\u00e4ss", "it's", 'quo"te', "back\\slash", "a b", "%"])
def test_every_spelling_of_a_proxys_password_is_hidden(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is masked plain, percent-encoded, as bytes in a log line, and as the header encodes it."""
    monkeypatch.setenv("ALL_PROXY", f"http://me:{quote(password, safe='')}@proxy.invalid")
    proxy = proxy_for(HOST)
    assert proxy is not None
    login = base64.b64encode(f"me:{password}".encode()).decode()
    for spelling in (password, f"{password.encode()!r}", proxy.url.userinfo.decode(), login):
        assert any(secret in spelling for secret in proxy.secrets), spelling


def test_a_proxy_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its repr nor its printed fields hold the password."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@proxy.invalid:3128")
    proxy = proxy_for(HOST)
    assert proxy is not None
    assert PASSWORD not in f"{proxy!r} {proxy} {dataclasses.asdict(proxy)}"
    assert proxy.address == PROXY
