"""Keys and query are added to a request at the last moment, inside the transport, and hidden there.

So nothing above it (httpx's log of every URL, instrumentation, an exception's request) ever holds them, and
what lies below it (httpcore's log, OpenTelemetry's patch of httpx's own transport) is kept from showing them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import httpx

from leadsquared_async.config import MASK, Credentials
from leadsquared_async.sending.call import Keys

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
    query: tuple[tuple[str, str], ...] = field(repr=False)
    private: tuple[str, ...] = field(repr=False)

    def query_string(self) -> bytes:
        pairs = self.query
        if self.keys is Keys.ALL:
            pairs = (
                ("accessKey", self.credentials.access_key.reveal()),
                ("secretKey", self.credentials.secret_key.reveal()),
                *pairs,
            )
        return urlencode(pairs, quote_via=quote).encode()

    def mask(self, text: str) -> str:
        """The text without the keys and without the values of the query and the body."""
        for value in (*(value for _, value in self.query), *self.private):
            if len(value) > 1:
                text = text.replace(value, MASK).replace(quote(value, safe="", errors="replace"), MASK)
        return self.credentials.mask(text)


class KeyedTransport(httpx.AsyncBaseTransport):
    """Adds keys and query to a request, and hides them from what looks on."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, owned: bool) -> None:
        self._inner = inner
        self._owned = owned
        self._addresses_of: Credentials | None = None
        self._addresses: dict[httpx.URL, httpx.URL] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        keyed = request.extensions.pop(EXTENSION)
        assert isinstance(keyed, Attached)  # nothing but `Transport.exchange` sends through here
        headers = [*request.headers.raw, (b"x-api-key", keyed.credentials.api_key.reveal().encode("ascii"))]
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
        if keyed.query or keyed.keys is not Keys.ALL:
            query = keyed.query_string()
            return url.copy_with(raw_path=url.raw_path + b"?" + query) if query else url
        if self._addresses_of is not keyed.credentials:
            self._addresses_of = keyed.credentials
            self._addresses.clear()
        address = self._addresses.get(url)
        if address is None:
            address = url.copy_with(raw_path=url.raw_path + b"?" + keyed.query_string())
            if len(self._addresses) < 64:
                self._addresses[url] = address
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
