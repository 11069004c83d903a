"""Credentials and query are added to a request inside the transport, and hidden there.

So nothing above it (httpx's log of every URL, instrumentation, an exception's request) ever holds them, and
what lies below it (httpcore's log, OpenTelemetry's patch of httpx's own transport) is kept from showing them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import httpx

from leadsquared_async.config import MASK, Credentials
from leadsquared_async.http.redaction import redact_logs_of_task
from leadsquared_async.operations import Keys

__all__ = ["EXTENSION", "LOCATION", "AuthTransport", "RequestSecrets"]

EXTENSION = "leadsquared_async"
"""The request extension under which the `RequestSecrets` reach the transport; it goes no further."""
LOCATION = "x-location"
"""The header under which a redirect's Location leaves the transport."""
MOST_ADDRESSES = 64


@dataclass(frozen=True, slots=True)
class RequestSecrets:
    """What the transport adds to a request."""

    credentials: Credentials
    keys: Keys
    suffix: tuple[str, ...] = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    private: tuple[str, ...] = field(repr=False)

    @property
    def query_string(self) -> bytes:
        """The query, with the access key and the secret key if the call carries them."""
        pairs = self.query
        if self.keys is Keys.ALL:
            pairs = (
                ("accessKey", self.credentials.access_key.reveal()),
                ("secretKey", self.credentials.secret_key.reveal()),
                *pairs,
            )
        return urlencode(pairs, quote_via=quote).encode()

    @property
    def path_suffix(self) -> bytes:
        """The parts of the path that no log may show."""
        return "".join(f"/{quote(part, safe='')}" for part in self.suffix).encode()

    def mask(self, text: str) -> str:
        """The text without the keys and without the values of the query and the body.

        The keys first, then the longest: else a value that is part of another would leave the rest of it.
        """
        text = self.credentials.mask(text)
        values = {*self.suffix, *(value for _, value in self.query), *self.private}
        values |= {quote(value, safe="", errors="replace") for value in values}
        for value in sorted(values, key=len, reverse=True):
            if len(value) > 1:
                text = text.replace(value, MASK)
        return text


class AuthTransport(httpx.AsyncBaseTransport):
    """Adds credentials and query to a request, and hides them from logs and instrumentation.

    Args:
        inner: makes the exchange.
        owned: whether to close it.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, *, owned: bool) -> None:
        self._inner = inner
        self._owned = owned
        self._addresses_of: Credentials | None = None
        # Functions, so that code that walks over attributes finds no key, as with `Secret`.
        self._addresses: dict[httpx.URL, Callable[[], httpx.URL]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        secrets = request.extensions.pop(EXTENSION)
        assert isinstance(secrets, RequestSecrets)  # only `Transport.exchange` sends through here
        api_key = secrets.credentials.api_key.reveal().encode("ascii")
        outgoing = httpx.Request(
            request.method,
            self._address(request.url, secrets),
            headers=[*request.headers.raw, (b"x-api-key", api_key)],
            stream=request.stream,
            extensions=request.extensions,
        )
        redact_logs_of_task(secrets.mask)  # each exchange runs in a task of its own
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

    def _address(self, url: httpx.URL, secrets: RequestSecrets) -> httpx.URL:
        """The URL with keys and query; cached if only the keys are added, since httpx parses slowly."""
        if secrets.suffix or secrets.query or secrets.keys is not Keys.ALL:
            return _extended(url, secrets)
        if self._addresses_of is not secrets.credentials:
            self._addresses_of = secrets.credentials
            self._addresses.clear()
        if (known := self._addresses.get(url)) is not None:
            return known()
        address = _extended(url, secrets)
        if len(self._addresses) < MOST_ADDRESSES:
            self._addresses[url] = lambda: address
        return address


def _extended(url: httpx.URL, secrets: RequestSecrets) -> httpx.URL:
    path, query = secrets.path_suffix, secrets.query_string
    if not path and not query:
        return url
    return url.copy_with(raw_path=url.raw_path + path + (b"?" + query if query else b""))


@contextmanager
def _uninstrumented() -> Generator[None]:
    """Keep OpenTelemetry's HTTP instrumentation out: it patches below here and would export the keys."""
    instrumentation = sys.modules.get("opentelemetry.instrumentation.utils")
    suppress = getattr(instrumentation, "suppress_http_instrumentation", nullcontext)
    with suppress():
        yield
