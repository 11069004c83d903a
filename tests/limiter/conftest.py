"""A real Valkey for tests, on a socket file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.limiter.valkey import Valkey
from tests.limiter.world import Server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server that all tests may use; none may stop it."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def _store_of_worlds(valkey: Valkey) -> Iterator[None]:
    with redis.Redis.from_url(valkey.url) as client:
        Server.client = client
        yield


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that this test may stop, freeze and start again."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.stop()
