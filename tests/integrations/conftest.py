"""Workers that lose no time."""

from __future__ import annotations

import pytest

from leadsquared_async.integrations.taskiq import broker


@pytest.fixture(autouse=True)
def workers_look_often(monkeypatch: pytest.MonkeyPatch, polls_soon: None) -> None:
    """Expired leases and outcomes are looked for after 0.1 s."""
    monkeypatch.setattr(broker, "LOOK_EVERY", 0.1)
