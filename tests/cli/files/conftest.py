"""Closes the tables of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.files.reading import opened


@pytest.fixture(autouse=True)
def tables_are_closed() -> Iterator[None]:
    """Those that a test has left open."""
    yield
    while opened:
        opened.pop().close()
