"""Keys and query are added to a request at the last moment, inside the transport, and hidden there.

So nothing above it (httpx's log of every URL, instrumentation, an exception's request) ever holds them, and
what lies below it (httpcore's log, OpenTelemetry's patch of httpx's own transport) is kept from showing them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import httpx

from leadsquared_async.config import MASK, Credentials, KeysIn
from leadsquared_async.operations import Keys

__all__ = ["EXTENSION", "LOCATION", "Attached", "KeyedTransport"]

EXTENSION = "leadsquared_async"
"""The request extension under which an `Attached` travels to the transport; it goes no further."""


LOCATION = "x-location"
"""The header under which a redirect's Location comes up from the transport."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What is added to a request at the last moment."""

    credentials: Credentials
    keys: Keys
    suffix: tuple[str, ...] = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    private: tuple[str, ...] = field(repr=False)

    def query_string(self, keys_in: KeysIn) -> bytes:
        """The query, with the keys if they go there."""
        pairs = self.query
        if self.keys is Keys.ALL and keys_in == "query":
            pairs = (
                ("accessKey", self.credentials.access_key.reveal()),
                ("secretKey", self.credentials.secret_key.reveal()),
                *pairs,
            )
        return urlencode(pairs, quote_via=quote).encode()

    def headers(self, keys_in: KeysIn) -> list[tuple[bytes, bytes]]:
        """The keys that go into headers."""
        headers = [(b"x-api-key", self.credentials.api_key)]
        if self.keys is Keys.ALL and keys_in == "headers":
            headers.append((b"x-LSQ-AccessKey", self.credentials.access_key))
            headers.append((b"x-LSQ-SecretKey", self.credentials.secret_key))
        return [(name, key.reveal().encode("ascii")) for name, key in headers]

    def mask(self, text: str) -> str:
        """The text without the keys and without the values of the query and the body.

        The keys first, then the longest: else a value that is a part of another would leave the rest of it.
        """
        text = self.credentials.mask(text)
        values = {*self.suffix, *(value for _, value in self.query), *self.private}
        values |= {quote(value, safe="", errors="replace") for value in values}
        for value in sorted(values, key=len, reverse=True):
            if len(value) > 1:
                text = text.replace(value, MASK)
        return text


class KeyedTransport(httpx.AsyncBaseTransport):
    """Adds keys and query to a request, and hides them from what looks on."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, owned: bool, keys_in: KeysIn = "query") -> None:
        self._inner = inner
        self._owned = owned
        self._keys_in: KeysIn = keys_in
        self._addresses_of: Credentials | None = None
        # Functions, so that what walks over attributes meets no key, as with `Secret`.
        self._addresses: dict[httpx.URL, Callable[[], httpx.URL]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        keyed = request.extensions.pop(EXTENSION)
        assert isinstance(keyed, Attached)  # nothing but `Transport.exchange` sends through here
        headers = [*request.headers.raw, *keyed.headers(self._keys_in)]
        outgoing = httpx.Request(
            request.method,
            self._address(request.url, keyed),
            headers=headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        _redact_logs()
        _hidden.set(keyed)  # for the rest of this exchange, which runs in a task of its own
        with _uninstrumented():
            response = await self._inner.handle_async_request(outgoing)
        # httpx would build the redirect that is not followed, and keep every cookie.
        if "location" in response.headers:
            response.headers[LOCATION] = response.headers.pop("location")
        if "set-cookie" in response.headers:
            del response.headers["set-cookie"]
        return response

    async def aclose(self) -> None:
        if self._owned:
            await self._inner.aclose()

    def _address(self, url: httpx.URL, keyed: Attached) -> httpx.URL:
        """The URL with keys and query; remembered if only the keys are added: httpx parses slowly."""
        if keyed.suffix or keyed.query or keyed.keys is not Keys.ALL:
            path = "".join(f"/{quote(part, safe='')}" for part in keyed.suffix).encode()
            query = keyed.query_string(self._keys_in)
            if not path and not query:
                return url
            return url.copy_with(raw_path=url.raw_path + path + (b"?" + query if query else b""))
        if self._addresses_of is not keyed.credentials:
            self._addresses_of = keyed.credentials
            self._addresses.clear()
        if (known := self._addresses.get(url)) is not None:
            return known()
        query = keyed.query_string(self._keys_in)
        address = url.copy_with(raw_path=url.raw_path + b"?" + query) if query else url
        if len(self._addresses) < 64:
            self._addresses[url] = lambda: address
        return address


@contextmanager
def _uninstrumented() -> Generator[None]:
    """Keep OpenTelemetry's HTTP instrumentation out: it patches below here and would export the keys."""
    instrumentation = sys.modules.get("opentelemetry.instrumentation.utils")
    suppress = getattr(instrumentation, "suppress_http_instrumentation", nullcontext)
    with suppress():
        yield


_hidden: ContextVar[Attached | None] = ContextVar("leadsquared_async_hidden", default=None)


class _Redact(logging.Filter):
    """A server may repeat what it was sent: httpx logs its reason phrase, httpcore its headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        keyed = _hidden.get()
        if keyed is not None:
            record.msg, record.args = keyed.mask(record.getMessage()), ()
        return True


_LOGGERS = tuple(
    logging.getLogger(name)
    for name in (
        "httpx",
        *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
        # Under HTTP/2, which a transport of the caller's may speak, it logs every header that goes out.
        "hpack.hpack",
        "hpack.table",
    )
)
_redact = _Redact()


def _redact_logs() -> None:
    for logger in _LOGGERS:
        if _redact not in logger.filters:
            logger.addFilter(_redact)
