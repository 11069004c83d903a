"""pytest fixtures: a sandbox, and a client of it in the event loop of the test.

pytest loads this module in every project where the package is installed, so only the fixtures import the rest
of the package.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from leadsquared_async.client import LeadSquared
    from leadsquared_async.sandbox import Sandbox
    from leadsquared_async.testing import without_waiting

__all__ = [
    "leadsquared",
    "leadsquared_sandbox",
    "leadsquared_sandbox_options",
    "leadsquared_session_sandbox",
    "leadsquared_without_waiting",
]

FAULTS = "leadsquared_faults"
LOOP_SCOPES: tuple[Any, ...] = ("function", "class", "module", "package", "session")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and a fixture for each loop scope of pytest-asyncio."""
    config.addinivalue_line(
        "markers",
        f"{FAULTS}(**faults): set the faults of leadsquared_sandbox for the test; arguments as for Faults",
    )
    if _loop_scope(config) is not None:
        import pytest_asyncio  # noqa: PLC0415

        fixtures = ModuleType("leadsquared_async_asyncio")
        for scope in LOOP_SCOPES:
            fixture = pytest_asyncio.fixture(_opening(), loop_scope=scope, name=_name(scope))
            setattr(fixtures, _name(scope), fixture)
        config.pluginmanager.register(fixtures, fixtures.__name__)


@pytest.fixture(scope="session")
def leadsquared_sandbox_options() -> dict[str, Any]:
    """The options of the sandbox; override it in a conftest.py. See `leadsquared_async.sandbox.Sandbox`."""
    return {}


@pytest.fixture(scope="session")
def leadsquared_session_sandbox(leadsquared_sandbox_options: dict[str, Any]) -> Iterator[Sandbox]:
    """The sandbox that all tests share, on a socket, for fixtures with a wider scope than a test."""
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415

    from leadsquared_async.sandbox import Sandbox  # noqa: PLC0415

    # It runs in its own thread, because the event loops of tests come and go.
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(Sandbox(**leadsquared_sandbox_options)) as sandbox,
    ):
        yield sandbox


@pytest.fixture
def leadsquared_sandbox(
    leadsquared_session_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Sandbox:
    """A sandbox on a socket, reset for the test; during the test, the environment variables point to it."""
    from leadsquared_async.limiter.local_limits import forget_unused  # noqa: PLC0415
    from leadsquared_async.sandbox import Faults  # noqa: PLC0415
    from leadsquared_async.testing import environment_of  # noqa: PLC0415

    sandbox = leadsquared_session_sandbox
    for name in [name for name in os.environ if name.startswith("LEADSQUARED_")]:
        monkeypatch.delenv(name)
    for name, value in environment_of(sandbox).items():
        monkeypatch.setenv(name, value)
    forget_unused()
    sandbox.reset()
    marker = request.node.get_closest_marker(FAULTS)
    if marker is not None:
        sandbox.faults = Faults(*marker.args, **marker.kwargs)
    return sandbox


@pytest.fixture
def leadsquared(request: pytest.FixtureRequest) -> LeadSquared:
    """An open client of `leadsquared_sandbox`, in the event loop of the test."""
    client: LeadSquared = request.getfixturevalue(_fixture_of_the_loop(request))
    return client


@pytest.fixture
def leadsquared_without_waiting() -> Iterator[without_waiting]:
    """Runs the test in `without_waiting()`."""
    from leadsquared_async.testing import without_waiting  # noqa: PLC0415

    with without_waiting() as waits:
        yield waits


def _fixture_of_the_loop(request: pytest.FixtureRequest) -> str:
    """The name of the fixture that opens a client in the event loop of the test."""
    if "anyio_backend" in request.fixturenames:
        if request.getfixturevalue("anyio_backend_name") == "asyncio":
            return "_leadsquared_anyio"
        pytest.fail(
            'the fixture leadsquared needs asyncio: make the fixture anyio_backend return "asyncio"',
            pytrace=False,
        )
    by_default = _loop_scope(request.config)
    if by_default is not None:
        import pytest_asyncio  # noqa: PLC0415

        if pytest_asyncio.is_async_test(request.node):
            marker = request.node.get_closest_marker("asyncio")
            return _name((marker and marker.kwargs.get("loop_scope")) or by_default)
    pytest.fail(
        "the fixture leadsquared needs a test that pytest-asyncio (from 0.26) or anyio runs: set "
        "asyncio_mode = auto, or mark the test with asyncio or anyio; in other tests use "
        "leadsquared_sandbox and leadsquared_async.testing.client_of",
        pytrace=False,
    )


def _loop_scope(config: pytest.Config) -> str | None:
    """The scope of pytest-asyncio's loops; None without it, or if it is older and has other options."""
    if not config.pluginmanager.hasplugin("asyncio"):
        return None
    try:
        scope: str = config.getini("asyncio_default_test_loop_scope")
    except ValueError:
        return None
    return scope


def _name(loop_scope: str) -> str:
    return f"_leadsquared_{loop_scope}"


def _opening() -> Callable[..., Any]:
    """A new fixture function that opens a client in the loop in which it runs."""

    async def opened(leadsquared_sandbox: Sandbox) -> AsyncIterator[LeadSquared]:
        from leadsquared_async.testing import client_of  # noqa: PLC0415

        async with client_of(leadsquared_sandbox) as lsq:
            yield lsq

    return opened


_leadsquared_anyio = pytest.fixture(name="_leadsquared_anyio")(_opening())
