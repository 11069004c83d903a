"""The store of the simulated worlds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.limiter.valkey import Valkey
from tests.limiter.world import Server


@pytest.fixture(scope="session", autouse=True)
def _store_of_worlds(valkey: Valkey) -> Iterator[None]:
    with redis.Redis.from_url(valkey.url) as client:
        Server.client = client
        yield


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    """A connection to an empty store."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client
