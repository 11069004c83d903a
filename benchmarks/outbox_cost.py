"""How much slower is an outbox with a million pending rows?

The time from choosing a row until it is confirmed, without the calls, on a real disk.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.accounts import LEAD
from benchmarks.figures import Figure
from leadsquared_async.encoding import encode
from leadsquared_async.logs import ClientLog
from leadsquared_async.outbox import ItemState
from leadsquared_async.outbox.files import create
from leadsquared_async.outbox.rows import FILES
from leadsquared_async.outbox.store import Store
from leadsquared_async.submissions import capture_lead

ROUNDS = 7
BACKLOG, FEW = 1_000_000, 1_500
ROWS = 200
SLOWER = 20.0
MOST_BYTES = 2**40


def measure() -> Iterator[Figure]:
    """The slowdown behind a backlog."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        yield from _behind_a_backlog(Path(name))


def _behind_a_backlog(folder: Path) -> Iterator[Figure]:
    stores = {rows: _filled(folder / f"{rows}.db", rows) for rows in (FEW, BACKLOG)}
    size = stores[BACKLOG].size()
    times: dict[int, list[float]] = {rows: [] for rows in stores}
    for _ in range(ROUNDS):
        for rows, store in stores.items():
            times[rows].append(_send_some(store))
            store.checkpoint()
    for store in stores.values():
        store.close()
    few, many = (statistics.median(times[rows]) / ROWS * 1e6 for rows in stores)
    ratio = statistics.median(m / f for m, f in zip(times[BACKLOG], times[FEW], strict=True))
    yield Figure(f"chosen to confirmed, {FEW} rows pending", few, " us", note="three commits a row")
    yield Figure(
        f"chosen to confirmed, {BACKLOG:,} rows pending", many, " us", note=f"a file of {size / 1e6:.0f} MB"
    )
    yield Figure("slower by", (ratio - 1) * 100, " %", most=SLOWER)


def _filled(path: Path, rows: int) -> Store:
    create(path)
    store = Store(path, MOST_BYTES, ClientLog(None))
    head, _, tail = encode(capture_lead(LEAD)).content.decode().partition("bret.lee")
    store.begin()
    store.connection.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows) "
        "INSERT INTO items (key, digest, operation, lane, identity, identified, is_open, is_ready, state, "
        "content, query, suffix, put_at, changed_at) "
        "SELECT 'row-' || n, randomblob(16), 'leads.capture', :lane, randomblob(16), 1, 1, 1, "
        "'pending', CAST(:head || 'b' || n || :tail AS BLOB), '[]', '[]', :now, :now FROM numbers",
        {"rows": rows, "lane": FILES, "head": head, "tail": tail, "now": time.time()},
    )
    store.connection.execute("COMMIT")
    store.checkpoint()
    return store


def _send_some(store: Store) -> float:
    """Seconds in which so many rows go from pending to confirmed, each state a commit."""
    before = store.last_id()
    start = time.perf_counter()
    for row in store.next_rows(FILES, ROWS, ()):
        (following,) = store.next_rows(FILES, 1, ())
        assert following.id == row.id
        with _commit(store):
            store.sending([(row.id, False)], time.time())
        with _commit(store):
            store.accepted(row.id, time.time(), 1, "5f0d6f0c-9f4e-4d5f-8a31-3a6f8a2f2f10")
        with _commit(store):
            store.finish(
                row.id, time.time(), ItemState.CONFIRMED, is_called_back=True, lead_id="1", created=True
            )
    seconds = time.perf_counter() - start
    assert store.last_id() == before
    return seconds


@contextmanager
def _commit(store: Store) -> Iterator[None]:
    store.begin()
    yield
    store.connection.execute("COMMIT")
