"""Planted secrets and a planted person, and everything in which they could show."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async.telemetry.metrics import instruments
from tests.clients import KEYS

PERSON = {
    "FirstName": "Bartholomew",
    "EmailAddress": "Barth.Quist+crm@planted-mail.example",
    "Phone": "+91-9988776655",
}
PHONE_DIGITS = "9988776655"
# As a server may repeat them in its answers.
ECHO = " ".join((*KEYS.values(), *(quote(key, safe="") for key in KEYS.values()), *PERSON.values()))

TESTS = str(Path(__file__).parent)
BY_NAME = {"body", "exception_message", "last_status"}
"""The attributes of errors in which personal data may be reached, by name only."""


def _spellings(value: str) -> set[str]:
    encoded = quote(value, safe="")
    return {text.lower() for text in (value, encoded, json.dumps(value)[1:-1])}


_KEYS = {spelling for key in KEYS.values() for spelling in _spellings(key)}
_PERSON = {spelling for value in PERSON.values() for spelling in _spellings(value)} | {PHONE_DIGITS}


def assert_no_key(text: str) -> None:
    """No key, plain or percent-encoded; the failure does not print it all."""
    _assert_none_of(_KEYS, text)


def assert_nothing_secret(text: str) -> None:
    """No key, and nothing of the person."""
    _assert_none_of(_KEYS | _PERSON, text)


def _assert_none_of(secrets: set[str], text: str) -> None:
    lowered = text.lower()
    for secret in secrets:
        place = lowered.find(secret)
        assert place < 0, f"{secret!r} shows in: {text[max(0, place - 300) : place + 100]}"


def shown(error: BaseException) -> str:
    """All that an error tracker would show of an error, its causes and contexts: locals of frames included.

    The frames of the tests are left out: what they hold is theirs.
    """
    parts: list[str] = []
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        drawn = traceback.TracebackException.from_exception(link, capture_locals=True, compact=True)
        frames = [frame for frame in drawn.stack if not frame.filename.startswith(TESTS)]
        parts += (f"{frame.filename} {frame.name} {frame.line} {frame.locals}" for frame in frames)
        attributes = {name: value for name, value in vars(link).items() if name not in BY_NAME}
        parts += (*drawn.format_exception_only(), repr(link), str(link), repr(link.args), repr(attributes))
        chain += (link.__cause__, link.__context__)
    return "\n".join(parts)


class Watch(logging.Handler):
    """Every log record of the process from DEBUG on, every warning, every span, every metric."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.lines: list[str] = []
        self.loggers: set[str] = set()
        self.warnings: list[warnings.WarningMessage] = []
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.metrics = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name)
        self.lines += (self.format(record), repr(record.args), repr(vars(record)))

    @property
    def spans(self) -> str:
        return "\n".join(span.to_json() for span in self.exporter.get_finished_spans())

    @property
    def tracers(self) -> set[str]:
        """Whose spans they are."""
        scopes = (span.instrumentation_scope for span in self.exporter.get_finished_spans())
        return {scope.name for scope in scopes if scope is not None}

    def assert_nothing_secret(self) -> None:
        assert_nothing_secret("\n".join(self.lines))
        assert_nothing_secret(self.spans)
        assert_nothing_secret(self.metrics)
        assert_nothing_secret("\n".join(str(warning) for warning in self.warnings))


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Switch on all that could show something: DEBUG, asyncio's debug mode, OpenTelemetry."""
    watch = Watch()
    root = logging.getLogger()
    level = root.level
    loop = asyncio.get_running_loop()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(watch.exporter))
    instrumentor = HTTPXClientInstrumentor()
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    meters = MeterProvider([watch.reader])
    instrumentor.instrument(tracer_provider=provider, meter_provider=meters)
    tracers_before, trace.get_tracer_provider = trace.get_tracer_provider, lambda: provider
    meters_before, metrics.get_meter_provider = metrics.get_meter_provider, lambda: meters
    instruments.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watch.warnings = caught
            yield watch
        watch.metrics = str(watch.reader.get_metrics_data())
    finally:
        trace.get_tracer_provider, metrics.get_meter_provider = tracers_before, meters_before
        instruments.cache_clear()
        meters.shutdown()
        instrumentor.uninstrument()
        provider.shutdown()
        loop.set_debug(False)
        root.setLevel(level)
        root.removeHandler(watch)


async def failure(awaitable: Any) -> BaseException | None:
    """What an awaitable raises; None if it does not."""
    try:
        await awaitable
    except BaseException as error:
        return error
    return None


@asynccontextmanager
async def echo_server(status: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server, or a proxy, that repeats all it was sent: in the status line, in headers, in its body."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, content = await _request(reader)
        received.append(head)
        target = head.split(b" ")[1].decode()
        target = target[target.index("/lead") :]
        words = f"{ECHO} {target} {content.decode()}"
        body = json.dumps({"ExceptionType": "MXEchoException", "ExceptionMessage": words}).encode()
        location = f"https://elsewhere.invalid{target}"
        writer.write(
            f"HTTP/1.1 {status} {ECHO}\r\nLocation: {location}\r\nX-Echo: {ECHO}\r\n"
            f"Set-Cookie: x={target}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received


@asynccontextmanager
async def forwarding_proxy() -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP proxy that passes on plain requests."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, content = await _request(reader)
        received.append(head)
        method, url, rest = head.split(b" ", 2)
        address, _, path = url.removeprefix(b"http://").partition(b"/")
        host, _, port = address.partition(b":")
        upstream, onward = await asyncio.open_connection(host.decode(), int(port))
        onward.write(method + b" /" + path + b" " + rest.replace(b"keep-alive", b"close") + content)
        while piece := await upstream.read(65536):
            writer.write(piece)
        onward.close()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
    return head, await reader.readexactly(length)
