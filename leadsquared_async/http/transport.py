"""One exchange over HTTP: send a call, return an `Outcome`."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from typing import cast
from urllib.parse import quote, urlencode

import anyio
import httpx

from leadsquared_async._version import __version__
from leadsquared_async.cleanup import is_cancelled
from leadsquared_async.config import MASK, Credentials
from leadsquared_async.errors import Fault, Scope
from leadsquared_async.hosts import Hosts
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.connections import Connections, failure
from leadsquared_async.http.environment import Proxy
from leadsquared_async.http.redaction import redact_logs_of_task
from leadsquared_async.logs import ClientLog
from leadsquared_async.operations import Keys
from leadsquared_async.protocol import Outcome, Reply, RetryHint, classify, outcome_without_answer

__all__ = ["Transport"]

CLOSING = 1.0
"""Seconds that closing an answer may take after the attempt."""
MOST_ADDRESSES = 64
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32

_BASE_HEADERS = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"keep-alive"),
    (b"User-Agent", f"leadsquared-async/{__version__}".encode()),
)


# What a transport raises for a network error, or for a body that cannot be decompressed.
_BROKEN = (httpx.HTTPError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, zlib.error)
# A custom transport may have read the body before it raises one of these.
_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Transport:
    """The account's connections.

    Keys and query are added here and hidden from logs and traces: httpx's client, which logs every URL, is
    not used, and OpenTelemetry's HTTP instrumentation is suppressed.

    Args:
        hosts: the only hosts that calls are sent to.
        inner: a custom transport, which is not closed; None to open connections here.
        log: records each failure of a custom transport.
    """

    def __init__(self, hosts: Hosts, inner: httpx.AsyncBaseTransport | None, log: ClientLog) -> None:
        self._log = log
        self._proxies: dict[bytes, Proxy | None] = {}
        self._own: Connections | None = None
        if inner is None:
            inner = self._own = Connections(filter(None, hosts))
            self._proxies = self._own.proxies
        self._inner = inner
        self._origins = {Host.ASYNC: httpx.URL(hosts.host)}
        if hosts.sync_host is not None:
            self._origins[Host.SYNC] = httpx.URL(hosts.sync_host)
        self._urls: dict[tuple[Host, str], httpx.URL] = {}
        # Functions, as in `Secret`, so that code that walks over attributes finds no key.
        self._addresses: dict[httpx.URL, Callable[[], httpx.URL]] = {}
        self._addresses_of: Credentials | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._own is not None:
            await self._own.aclose()

    async def exchange(self, call: Call, credentials: Credentials, timeout: float) -> Outcome:
        """Make one attempt; failures are returned as outcomes.

        Args:
            call: what to send, and with which keys.
            credentials: the keys.
            timeout: seconds for the whole attempt, however slowly the server answers.
        """
        body = _Body(call.content or b"")
        origin = self._origins[call.host]
        proxy = self._proxies.get(origin.netloc)
        mask = partial(_masked, credentials, call, proxy)
        redact_logs_of_task(mask)  # each exchange runs in its own task
        try:
            # httpx's own timeouts restart at every read; this one bounds the whole attempt.
            with anyio.fail_after(timeout):
                request = self._request(call, credentials, body, timeout)
                with _uninstrumented():
                    response = await self._inner.handle_async_request(request)
                try:
                    reply = await _read(response, credentials, call.most)
                finally:
                    await _close(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            if body.started and not isinstance(error, _BEFORE_SENDING):
                cause = f"no answer within {timeout:.3g} s"
                return outcome_without_answer(sent=True, timed_out=True, cause=cause)
            why = failure(error, origin.raw_host.decode(), proxy, f" within {timeout:.3g} s")
            return outcome_without_answer(sent=False, timed_out=True, cause=why.cause)
        except _BROKEN as error:
            words = f" ({_cause(error, body, mask)})"
            if body.started and not isinstance(error, _BEFORE_SENDING):
                cause = f"the connection broke before the answer was complete{words}"
                return outcome_without_answer(sent=True, timed_out=False, cause=cause)
            why = failure(error, origin.raw_host.decode(), proxy, words)
            outcome = outcome_without_answer(sent=False, timed_out=False, cause=why.cause)
            return (
                dataclasses.replace(outcome, retry=RetryHint.NO, fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)
                if why.is_final
                else outcome
            )
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                if body.started:
                    raise
                # It is the last step of its task, so nothing is lost by ending it normally.
                cause = "the client was closed before the call was sent"
                return outcome_without_answer(sent=False, timed_out=False, cause=cause)
            # Not a network error but a bug, which a retry would hide. The log has no traceback, because that
            # would show the request with its keys.
            self._log.error("%s: the transport failed with %s", call.operation, type(error).__name__)
            cause = f"the transport failed with {type(error).__name__}: this is a bug in the transport"
            failed = outcome_without_answer(sent=body.started, timed_out=False, cause=cause)
            return dataclasses.replace(failed, retry=RetryHint.NO)
        return classify(reply, call.expect, datetime.now(UTC))

    def _request(self, call: Call, credentials: Credentials, body: _Body, timeout: float) -> httpx.Request:
        url = self._address(call, credentials)
        headers = [
            (b"Host", url.netloc),
            *_BASE_HEADERS,
            (b"x-api-key", credentials.api_key.reveal().encode("ascii")),
        ]
        if call.keys is Keys.HEADERS:  # as the page "Authentication" of the synchronous API has them
            headers += (
                (b"x-LSQ-AccessKey", credentials.access_key.reveal().encode("ascii")),
                (b"x-LSQ-SecretKey", credentials.secret_key.reveal().encode("ascii")),
            )
        if call.content is not None:
            headers += (
                (b"Content-Type", b"application/json"),
                (b"Content-Length", b"%d" % len(call.content)),
            )
        elif call.writes:
            # Some servers reject a POST without one (411), and over HTTP/2 httpcore would not read the body
            # of a DELETE, which then counted as not sent.
            headers.append((b"Content-Length", b"0"))
        # A custom transport's pool may queue: leave it before the attempt is cancelled inside it.
        extensions = {"timeout": {"pool": timeout / 2}}
        return httpx.Request(call.method, url, headers=headers, stream=body, extensions=extensions)

    def _address(self, call: Call, credentials: Credentials) -> httpx.URL:
        """The URL with keys and query; cached if it has only the keys, because httpx parses URLs slowly."""
        key = (call.host, call.path)
        url = self._urls.get(key)
        if url is None:
            url = self._origins[call.host].copy_with(path=call.path)
            if len(self._urls) < MOST_ADDRESSES:
                self._urls[key] = url
        if call.suffix or call.query or call.keys is not Keys.ALL:
            return _extended(url, call, credentials)
        if self._addresses_of is not credentials:
            self._addresses_of = credentials
            self._addresses.clear()
        if (known := self._addresses.get(url)) is not None:
            return known()
        address = _extended(url, call, credentials)
        if len(self._addresses) < MOST_ADDRESSES:
            self._addresses[url] = lambda: address
        return address


def _extended(url: httpx.URL, call: Call, credentials: Credentials) -> httpx.URL:
    """The URL with the parts hidden from logs: suffix, keys and query."""
    pairs = call.query
    if call.keys is Keys.ALL:
        keys = {"accessKey": credentials.access_key, "secretKey": credentials.secret_key}
        pairs = (*((name, key.reveal()) for name, key in keys.items()), *pairs)
    path = "".join(f"/{quote(part, safe='')}" for part in call.suffix)
    query = f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""
    return url.copy_with(raw_path=url.raw_path + f"{path}{query}".encode()) if path or query else url


def _masked(credentials: Credentials, call: Call, proxy: Proxy | None, text: str) -> str:
    """The text without the keys and the values of the query and the body.

    Longer values are masked first; otherwise a value inside a longer one would leave the rest of it.
    """
    text = credentials.mask(text)
    values = {*(value for _, value in call.query), *call.private}
    values.update(proxy.secrets if proxy else ())
    values |= {form for value in values for form in _forms(value)}
    for value in sorted(values, key=len, reverse=True):
        if len(value) > 1:
            text = text.replace(value, MASK)
    return text


def _forms(value: str) -> tuple[str, ...]:
    """A value as a URL has it, and as httpcore logs it: as bytes, with or without escaped quotes."""
    quoted = quote(value, safe="", errors="replace")
    logged = repr(value.encode("utf-8", "surrogatepass") + b"'\"")[2:-4]
    return quoted, logged, logged.replace("\\'", "'")


def _uninstrumented() -> AbstractContextManager[None]:
    """Keep OpenTelemetry's HTTP instrumentation out: it would export the keys."""
    instrumentation = sys.modules.get("opentelemetry.instrumentation.utils")
    suppress: Callable[[], AbstractContextManager[None]]
    suppress = getattr(instrumentation, "suppress_http_instrumentation", nullcontext)
    return suppress()


class _Body(httpx.AsyncByteStream):
    """A request's body that records whether it was read: until then the server cannot have the call."""

    def __init__(self, content: bytes) -> None:
        self.started = False
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.started = True
        if self._content:
            yield self._content


async def _read(response: httpx.Response, credentials: Credentials, most: int) -> Reply:
    """Read at most `most` bytes of the answer's body, after decompression."""
    body = bytearray()
    packed = response.headers.get("content-encoding", "").strip().lower() in {"gzip", "deflate"}
    # `aiter_bytes` would decompress a whole chunk: two kilobytes can expand to gigabytes.
    unpack = zlib.decompressobj(_ZLIB_OR_GZIP).decompress
    if response.is_stream_consumed:  # a custom transport returned it whole; httpx has decompressed it
        packed = False
        chunks = response.aiter_bytes()
    else:
        # Not `aiter_raw`, which closes at the end: an error there would lose what was read.
        chunks = aiter(cast("httpx.AsyncByteStream", response.stream))
    async for chunk in chunks:
        room = most + 1 - len(body)
        body += unpack(chunk, room) if packed else chunk[:room]
        if len(body) > most:
            break
    return Reply(
        status=response.status_code,
        headers=response.headers,
        body=credentials.mask(body[:most].decode("utf-8", "replace")),
        cut_off=len(body) > most,
    )


async def _close(response: httpx.Response) -> None:
    """Close without raising: an error here must not lose what was read."""
    with anyio.move_on_after(CLOSING, shield=True), suppress(Exception):
        await cast("httpx.AsyncByteStream", response.stream).aclose()


def _cause(error: Exception, body: _Body, mask: Callable[[str], str]) -> str:
    """An error's name, and its message if that cannot repeat what was sent."""
    name = type(error).__name__
    if body.started or not isinstance(error, httpx.ConnectError | OSError):
        return name
    # A custom transport's message may show the whole URL.
    return f"{name}: {mask(str(error))}" if str(error) else name
