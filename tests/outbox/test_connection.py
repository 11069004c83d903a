"""How an outbox's file is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadsquared_async.logs import ClientLog
from leadsquared_async.outbox.files import create
from leadsquared_async.outbox.store import Store


@pytest.mark.parametrize(("name", "value"), [("synchronous", 2), ("fullfsync", 1), ("secure_delete", 1)])
def test_a_commit_is_on_the_disk_and_a_deletion_overwrites(tmp_path: Path, name: str, value: int) -> None:
    """2 is FULL; fullfsync has an effect on macOS only."""
    path = tmp_path / "leads.db"
    create(path)
    store = Store(path, 10_000_000, ClientLog(None))
    try:
        assert store.connection.execute(f"PRAGMA {name}").fetchone() == (value,)
    finally:
        store.close()
