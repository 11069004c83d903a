"""A server that speaks TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.http.proxies import accepting_server


@pytest.fixture
async def server() -> AsyncIterator[int]:
    """The port of a LeadSquared that speaks TLS."""
    async with accepting_server() as port:
        yield port
