"""The hosts of a client: from a region, an argument or the environment, and what is no host."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import ConfigurationError
from leadsquared_async.hosts import Hosts, hosts_from, origin
from tests.test_config import refusal

IN21 = Hosts("https://asyncapi-in21.leadsquared.com", "https://api-in21.leadsquared.com")


@pytest.mark.parametrize(
    ("region", "host", "sync_host"),
    [
        ("in21", "https://asyncapi-in21.leadsquared.com", "https://api-in21.leadsquared.com"),
        ("us11", "https://asyncapi-us11.leadsquared.com", "https://api-us11.leadsquared.com"),
        ("sg", "https://asyncapi.leadsquared.com", "https://api.leadsquared.com"),
    ],
)
def test_regions(region: str, host: str, sync_host: str) -> None:
    """A region stands for its two documented hosts, as an argument or from the environment."""
    assert hosts_from(None, None, region, {}) == (host, sync_host)
    assert hosts_from(None, None, None, {"LEADSQUARED_REGION": region}) == (host, sync_host)


@pytest.mark.parametrize("region", ["in22", "IN21", " in21", "asyncapi-in21", 21, ["in21"], b"in21"])
def test_a_region_that_is_not_known(region: Any) -> None:
    """An undocumented region raises, and the message lists the others and what to do."""
    message = refusal(hosts_from, None, None, region, {})
    assert message == (
        "unknown region: use in21, us11, sg; for any other region pass the host= and sync_host= that "
        "LeadSquared gave you"
    )


EXAMPLE = "https://example.com"
OUTSIDE = {"LEADSQUARED_HOST": "https://outside.example.com"}
REGION_OUTSIDE = {"LEADSQUARED_REGION": "in21"}


@pytest.mark.parametrize(
    ("host", "sync_host", "region", "environ", "hosts"),
    [
        (None, None, None, OUTSIDE, ("https://outside.example.com", None)),
        (None, None, None, OUTSIDE | REGION_OUTSIDE, ("https://outside.example.com", IN21.sync_host)),
        (None, None, "in21", OUTSIDE, IN21),
        (None, None, "in21", {"LEADSQUARED_REGION": "us11"}, IN21),
        (EXAMPLE, None, None, OUTSIDE | REGION_OUTSIDE, (EXAMPLE, None)),
        (EXAMPLE, None, "in21", {}, (EXAMPLE, IN21.sync_host)),
        (EXAMPLE, "https://sync.example.com", "in21", {}, (EXAMPLE, "https://sync.example.com")),
        (None, "https://sync.example.com", None, REGION_OUTSIDE, (IN21.host, "https://sync.example.com")),
        (None, None, None, {"LEADSQUARED_HOST": ""} | REGION_OUTSIDE, IN21),
        (None, None, None, OUTSIDE | {"LEADSQUARED_REGION": ""}, ("https://outside.example.com", None)),
    ],
)
def test_an_argument_goes_before_the_environment(
    host: Any, sync_host: Any, region: Any, environ: dict[str, str], hosts: tuple[str, str | None]
) -> None:
    """A host argument ignores the environment; an empty variable counts as not set."""
    assert hosts_from(host, sync_host, region, environ) == hosts


@pytest.mark.parametrize(
    "environ",
    [
        {},
        *({"LEADSQUARED_HOST": blank, "LEADSQUARED_REGION": blank} for blank in ("", " ", "\t\n", "\u00a0")),
    ],
)
def test_a_host_has_to_be_known(environ: dict[str, str]) -> None:
    """Without a host or region from anywhere the message names all four ways to give one."""
    assert refusal(hosts_from, None, None, None, environ) == (
        "no host: pass region= (in21, us11, sg) or host=, or set LEADSQUARED_REGION or LEADSQUARED_HOST"
    )


AS_HOST = "host is the synchronous host; the asynchronous host of this region is "
AS_SYNC_HOST = "sync_host is the asynchronous host; the synchronous host of this region is "
SYNC, ASYNC = "https://api", "https://asyncapi"


@pytest.mark.parametrize(
    ("host", "sync_host", "environ", "message"),
    [
        ("-in21", None, {}, f"{AS_HOST}{ASYNC}-in21.leadsquared.com"),
        ("-IN21", None, {}, f"{AS_HOST}{ASYNC}-in21.leadsquared.com"),
        ("-ir31", None, {}, f"{AS_HOST}probably {ASYNC}-ir31.leadsquared.com"),
        (
            None,
            None,
            {"HOST": f"{SYNC}.leadsquared.com/v2/"},
            f"LEADSQUARED_{AS_HOST}{ASYNC}.leadsquared.com",
        ),
        ("async", "-in21", {}, f"{AS_SYNC_HOST}{SYNC}-in21.leadsquared.com"),
        (
            None,
            None,
            {"REGION": "in21", "SYNC_HOST": f"{ASYNC}-us11.leadsquared.com"},
            f"LEADSQUARED_{AS_SYNC_HOST}{SYNC}-us11.leadsquared.com",
        ),
    ],
)
def test_the_two_hosts_are_not_taken_for_each_other(
    host: str | None, sync_host: str | None, environ: dict[str, str], message: str
) -> None:
    """LeadSquared shows the synchronous host beside the keys; the error names the right one."""
    outside = {f"LEADSQUARED_{name}": value for name, value in environ.items()}
    if host == "async":
        host, sync_host = IN21.host, f"{ASYNC}{sync_host}.leadsquared.com"
    elif host is not None:
        host = f"{SYNC}{host}.leadsquared.com"
    said = refusal(hosts_from, host, sync_host, None, outside)
    assert said.lower() == message.lower()
    assert said.isprintable()


@pytest.mark.parametrize("url", ["https://api-async.leadsquared.com", "https://api-in21.example.com"])
def test_unknown_hosts_may_be_either(url: str) -> None:
    """Only LeadSquared's own host names are checked."""
    assert hosts_from(url, url, None, {}) == (url, url)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"LEADSQUARED_HOST": "example.com"}, "LEADSQUARED_HOST must be only scheme, host and port"),
        ({"LEADSQUARED_HOST": "http://example.com"}, "LEADSQUARED_HOST must start with https://"),
        (
            {"LEADSQUARED_HOST": '"https://example.com"'},
            "LEADSQUARED_HOST contains quotes: remove them",
        ),
        ({"LEADSQUARED_HOST": "\udcff"}, "LEADSQUARED_HOST must be only scheme, host and port"),
        (
            {"LEADSQUARED_REGION": "in21", "LEADSQUARED_SYNC_HOST": "x"},
            "LEADSQUARED_SYNC_HOST must be only scheme, host and port, such as https://api-in21",
        ),
        (
            {"LEADSQUARED_REGION": "in22"},
            "unknown region in LEADSQUARED_REGION: use in21, us11",
        ),
        (
            {"LEADSQUARED_REGION": "'in21'"},
            "LEADSQUARED_REGION contains quotes: remove them",
        ),
    ],
)
def test_an_invalid_variable_is_named(environ: dict[str, str], message: str) -> None:
    """The error of a value from the environment names its variable."""
    assert refusal(hosts_from, None, None, None, environ).startswith(message)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("HTTPS://EXAMPLE.com:8443/", "https://example.com:8443"),
        ("https://a-b.c1.example.com", "https://a-b.c1.example.com"),
        ("https://192.0.2.1:8443", "https://192.0.2.1:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
        ("https://example.com:443/", "https://example.com"),
        ("https://example.com:80", "https://example.com:80"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://localhost", "https://localhost"),
        ("https://xn--mller-kva.de", "https://xn--mller-kva.de"),
        ("https://example.com/v2", "https://example.com"),
        ("https://example.com/v2/", "https://example.com"),
        ("HTTPS://Example.COM:443/V2/", "https://example.com"),
        ("http://127.0.0.1:8080/v2/", "http://127.0.0.1:8080"),
        ("https://[::FFFF:192.0.2.1]:443", "https://[::ffff:192.0.2.1]"),
    ],
)
def test_origins(url: str, clean: str) -> None:
    """Scheme, host and port, in lower case and without a trailing slash; httpx takes what comes out."""
    assert origin("host", url) == clean
    assert origin("host", clean) == clean
    assert httpx.URL(clean).raw_host.decode() in clean


NOT_ORIGINS = [
    *"""
    example.com https:// https:/// https://:443 https:example.com https://example.com/v3
    https://example.com// https://example.com/v2/x https://example.com/v2// https://[::1]evil
    https://[::1]evil:443 https://[::1].evil.com https://[::1]@evil.com https://evil@[::1] https://[::1]:
    https://example.com: https://example.com:0443 https://example.com:+443 https://example.com:4_4
    https://[::1]] https://[[::1]] https://[::1%25lo] https://[v1.x] https://[127.0.0.1] https://::1:443
    https://example.com%2eevil.com https://example%2ecom https://example.com%00 https://%31
    https:/example.com https:///example.com https:////example.com https://example.com:443:443
    https://a:b@c:d https://example.com? https://example.com# https://example.com/? https://example.com/#
    https://example.com; https://example.com&x https://example.com,evil.com https://*.example.com
    https://example.com. https://xn-- https://a-.com https://example.com- https://0x7f.1 https://127.1
    https://2130706433 https://0177.0.0.1 https://a.0x7f https://1.2.3.4.5
    https://example.com?accessKey=HIDDEN https://example.com/?x=1 https://example.com/#x
    https://HIDDEN@example.com https://user:HIDDEN@example.com https://@example.com
    https://example.com:99999 https://example.com:port https://example.com:-1 https://example.com:0
    https://[::1 https://::1 https://[fe80::1%25eth0] https://[::g] https://[] https://999.1.1.1
    https://1.2.3 https://1 https://.. https://-a.com https://a..b https://.a https://a_b.com
    https://a$b.com https://a%41.com https://example.com;x
    """.split(),  # noqa: SIM905 - readable
    *("", "https://example.com: 443", "https://example.com\\@evil.com", "https:\\\\example.com"),
    *("https:/\\example.com", "https://exam\tple.com", "https://example.com\r"),
    *("https://example.com\x7f", "https://example.com\u2028", "https://examp\u212ae.com"),
    *("https://example\u3002com", "https://example.com\xad", "https://\uff11", "https://m\xfcller.de"),
    *(" https://example.com", "https://example.com ", "https://exam\nple.com", "https://example.com\t"),
    *("https://example.com\x00", "https://exa mple.com", "https://example.com\\x"),
    *("https://" + "a" * 64 + ".com", "https://" + "a." * 127 + "com"),
]


@pytest.mark.parametrize("url", [*NOT_ORIGINS, None, 5, b"https://example.com", ["https://example.com"]])
@pytest.mark.parametrize("option", ["host", "sync_host"])
def test_what_is_no_origin(option: str, url: Any) -> None:
    """A path, query, user, bad port or bad name is refused with an example and without what was passed."""
    example = "asyncapi-in21" if option == "host" else "api-in21"
    message = refusal(origin, option, url)
    assert message == (
        f"{option} must be only scheme, host and port, such as https://{example}.leadsquared.com"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://127.0.0.2",
        "http://10.0.0.1:80",
        "http://localhost.example.com",
        "//example.com",
        "ftp://example.com",
        "ws://127.0.0.1",
        "http://[::2]",
        "http://[::ffff:127.0.0.1]",
    ],
)
def test_plain_http_is_for_loopback_only(url: str) -> None:
    """Keys never travel over plain http to another machine."""
    assert refusal(origin, "host", url) == (
        "host must start with https:// (plain http:// is for a sandbox on 127.0.0.1 only, since the "
        "URL contains the keys)"
    )


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text("htps:/.@?#[]%019aA-_ \n").map(lambda text: "https://" + text))
def test_any_text_is_an_origin_or_refused(url: str) -> None:
    """What passes is one origin that httpx takes as it is; everything else is a ConfigurationError."""
    try:
        clean = origin("host", url)
    except ConfigurationError:
        return
    assert origin("host", clean) == clean
    parsed = httpx.URL(clean)
    assert (parsed.raw_path, parsed.userinfo, bool(parsed.host)) == (b"/", b"", True)
