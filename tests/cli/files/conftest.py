"""Fixtures of the tests of files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from tests.cli.files.reading import Files, opened


@pytest.fixture(autouse=True)
def tables_are_closed() -> Iterator[None]:
    """Close the tables that a test left open."""
    yield
    while opened:
        opened.pop().close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox with the lead fields of a realistic account."""
    async with Sandbox(limit=None, attributes="account", processing_rate=1e9) as running:
        yield running


@pytest.fixture
def command(sandbox: Sandbox, tmp_path: Path) -> Files:
    return Files(sandbox, tmp_path)
