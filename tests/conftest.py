"""Fixtures that every test may use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async.clock import clock
from leadsquared_async.limiter import local_limits
from leadsquared_async.sandbox import Sandbox, skipping
from leadsquared_async.telemetry.metrics import instruments
from leadsquared_async.tracking import sweep_pause
from tests.collected import Collected
from tests.limiter.valkey import Valkey
from tests.virtual import VirtualLoop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="run the asynchronous tests, on uvloop")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--uvloop"):
        config.pluginmanager.register(OnUvloop())


CLOCKS = (time.time, time.monotonic)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    """No test leaves another clock, or seconds that it skipped, to the tests after it."""
    yield
    clock.skipped = skipping._skipped = 0.0
    assert (time.time, time.monotonic) == CLOCKS, "a clock that was replaced is still there after the test"


class OnUvloop:
    """Run only the asynchronous tests, on uvloop: the others have no loop, or one of their own."""

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        others = [item for item in items if not pytest_asyncio.is_async_test(item)]
        items[:] = [item for item in items if pytest_asyncio.is_async_test(item)]
        config.hook.pytest_deselected(items=others)

    @pytest.hookimpl
    def pytest_asyncio_loop_factories(self) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        import uvloop

        return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of LeadSquared, proxies or certificates in the machine's environment reaches a test."""
    for name in list(os.environ):
        if name.startswith(("LEADSQUARED_", "SSL_CERT_", "SSLKEYLOGFILE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_limits_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test starts with tokens that another one has spent."""
    monkeypatch.setattr(local_limits, "_accounts", {})


@pytest.fixture
def polls_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first poll of a status comes after 0.1 s, for tests in real time."""
    monkeypatch.setattr(sweep_pause, "FIRST_PAUSE", 0.1)


@pytest.fixture
def virtual_loop() -> Iterator[VirtualLoop]:
    """A loop whose clock jumps to its next timer."""
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A LeadSquared on a socket, without a limit of its own."""
    async with Sandbox(limit=None) as running:
        yield running


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server that all tests may use; none may stop it."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that this test may stop, freeze and start again."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a program that traces exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """What a program that has set up metrics collects."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    instruments.cache_clear()
    yield Collected(reader)
    instruments.cache_clear()
    provider.shutdown()
