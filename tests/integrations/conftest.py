"""The stores of the tests of the shared limit, and workers that lose no time."""

from __future__ import annotations

import pytest

from leadsquared_async.integrations.taskiq import broker
from tests.limiter.conftest import own_valkey, valkey

__all__ = ["own_valkey", "valkey"]


@pytest.fixture(autouse=True)
def workers_look_often(monkeypatch: pytest.MonkeyPatch, polls_soon: None) -> None:
    """Expired leases and outcomes are looked for after 0.1 s."""
    monkeypatch.setattr(broker, "LOOK_EVERY", 0.1)
