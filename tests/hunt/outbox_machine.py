"""An outbox whose process may be killed at any statement of SQLite: what it promised is kept."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from leadsquared_async import KeyReused, LeadSquaredError, Outbox
from leadsquared_async.outbox import ItemState, service
from leadsquared_async.outbox import deliver as deliver_module
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Faults, SandboxTransport
from tests import virtual
from tests.clients import PatchedAccount
from tests.outbox.machine import Machine, items, lead
from tests.outboxes import virtual_files

KNOWN = ["EmailAddress", "FirstName", "mx_N"]
LEADS: dict[str, dict[str, str]] = {
    **{f"known {n}": lead(n, mx_N=str(n)) for n in range(4)},
    **{f"nobody {n}": {"FirstName": f"Bret {n}"} for n in range(2)},
    **{f"wrong {n}": lead(n, mx_Nope="x") for n in range(4, 6)},
}
"""By key: leads that LeadSquared can match, that it cannot, and that it rejects."""

STEPS: dict[str, set[str]] = {
    "pending": {"pending", "sending", "accepted", "confirmed", "rejected", "unknown"},
    "sending": {"pending", "sending", "accepted", "confirmed", "rejected", "unknown"},
    "accepted": {"accepted", "confirmed", "rejected", "unknown"},
    "confirmed": {"confirmed"},
    "rejected": {"rejected"},
    "unknown": {"unknown"},
}
"""Each state, and those that may follow it; requeueing makes a row pending."""

FAULTS = [
    Faults(latency=0.05),
    Faults(latency=0.05, probabilities={"503": 0.5}),
    Faults(latency=0.05, probabilities={"lost": 0.3, "504": 0.2}),
    Faults(latency=0.05, probabilities={"403": 0.5}),
    Faults(latency=0.05, probabilities={"429": 0.5}),
    Faults(latency=0.05, probabilities={"reset": 0.3, "hang": 0.2, "500-mx": 0.1}),
    Faults(latency=0.05, outage=(0.0, 1e12)),
]


class Wire(SandboxTransport):
    """The network of a process; nothing leaves a process that is dead."""

    is_dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if Wire.is_dead:
            await asyncio.Event().wait()
        return await super().handle_async_request(request)


class OutboxMachine(RuleBasedStateMachine):
    """Puts, deliveries, kills and what an operator does, in any order.

    Attributes:
        promised: the keys whose put returned, and whose row must exist.
        states: the state of each row when it was last seen, by id.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._stack.enter_context(virtual_files())
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(service, "_process", service._process)
        patch.setattr(deliver_module, "LOOK_EVERY", 5.0)
        patch.setattr("leadsquared_async.outbox.outbox.LOOK_EVERY", 5.0)
        patch.setattr(Store, "__init__", self._watching(Store.__init__))
        self.loop = virtual.VirtualLoop()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        account = PatchedAccount(faults=FAULTS[0], attributes=KNOWN, processing_rate=600.0)
        self.machine = Machine(folder, account, {"timeout": 5.0})
        self.machine._transport = Wire(account)
        Wire.is_dead = False
        self.outbox: Outbox | None = None
        self._left: int | None = None
        self._died = asyncio.Event()
        self.promised: set[str] = set()
        self.states: dict[int, str] = {}

    # A kill: the files are copied before the statement, and nothing is sent after it.

    def _watching(self, init: Any) -> Any:
        def watched(store: Store, *values: Any, **options: Any) -> None:
            init(store, *values, **options)
            store.connection.set_trace_callback(self._statement)

        return watched

    def _statement(self, _text: str) -> None:
        if self._left is None or Wire.is_dead:
            return
        self._left -= 1
        if self._left < 0:
            Wire.is_dead = True
            self._died.set()
            for suffix in ("", "-wal"):
                file = Path(f"{self.machine.path}{suffix}")
                if file.exists():
                    shutil.copy(file, f"{self.machine.path}.dead{suffix}")

    async def _end(self) -> None:
        """The process ends here, at the statement at which it was killed if it was."""
        assert self.outbox is not None
        client, outbox, self.outbox = self._client, self.outbox, None
        was_dead, old = Wire.is_dead, self.machine.path
        await self.machine._kill(client, outbox)
        if was_dead:
            for suffix in ("", "-wal"):
                Path(f"{self.machine.path}{suffix}").unlink(missing_ok=True)
                dead = Path(f"{old}.dead{suffix}")
                if dead.exists():
                    shutil.move(dead, f"{self.machine.path}{suffix}")
        self._left, Wire.is_dead = None, False
        self._died.clear()

    def _run(self, act: Any) -> Any:
        """Run it; None if the process dies meanwhile."""

        async def main() -> Any:
            async with asyncio.timeout(1e6):
                task, died = asyncio.ensure_future(act), asyncio.ensure_future(self._died.wait())
                await asyncio.wait([task, died], return_when=asyncio.FIRST_COMPLETED)
                died.cancel()
                if Wire.is_dead:
                    task.cancel()
                    with suppress(asyncio.CancelledError, LeadSquaredError):
                        await task
                    await self._end()
                    return None
                return await task

        return self.loop.run_until_complete(main())

    # The process

    @precondition(lambda self: self.outbox is None)
    @rule()
    def start(self) -> None:
        self.loop.run_until_complete(self._start())
        self.look()

    async def _start(self) -> None:
        self._client = self.machine.client()
        await self._client.__aenter__()
        self.outbox = Outbox(self.machine.path, self._client)
        await self.outbox.open()

    @precondition(lambda self: self.outbox is not None)
    @rule(statements=st.integers(0, 60))
    def will_be_killed(self, statements: int) -> None:
        self._left = statements

    @precondition(lambda self: self.outbox is not None)
    @rule()
    def kill(self) -> None:
        self.loop.run_until_complete(self._end())

    @precondition(lambda self: self.outbox is not None)
    @rule()
    def close(self) -> None:
        outbox, client = self.outbox, self._client
        assert outbox is not None

        async def end() -> bool:
            await outbox.aclose()
            await client.__aexit__(None, None, None)
            return True

        if self._run(end()):
            self.outbox, self._left = None, None

    # Its users

    @precondition(lambda self: self.outbox is not None)
    @rule(key=st.sampled_from(sorted(LEADS)))
    def put(self, key: str) -> None:
        assert self.outbox is not None
        with suppress(KeyReused):
            if self._run(self.outbox.put(LEADS[key], key=key)):
                self.promised.add(key)

    @precondition(lambda self: self.outbox is not None)
    @rule(keys=st.lists(st.sampled_from(sorted(LEADS)), min_size=1, max_size=8, unique=True))
    def put_together(self, keys: list[str]) -> None:
        outbox = self.outbox
        assert outbox is not None

        async def put_all() -> bool:
            await asyncio.gather(*(outbox.put(LEADS[key], key=key) for key in keys))
            return True

        if self._run(put_all()):
            self.promised |= {*keys}

    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        if self.outbox is None:
            self.loop.run_until_complete(asyncio.sleep(seconds))
        else:
            self._run(asyncio.sleep(seconds))

    @rule(faults=st.sampled_from(FAULTS))
    def weather(self, faults: Faults) -> None:
        self.loop.run_until_complete(self._set(faults))

    async def _set(self, faults: Faults) -> None:
        self.machine.books.faults = faults

    @precondition(lambda self: self.outbox is not None)
    @rule()
    def requeue(self) -> None:
        outbox = self.outbox
        assert outbox is not None

        async def requeue_all() -> list[int]:
            rows = [*await items(outbox, "rejected"), *await items(outbox, "unknown")]
            for row in rows:
                self.states[row.id] = "pending"
                await outbox.requeue(row)
            return [row.id for row in rows]

        self._run(requeue_all())

    @precondition(lambda self: self.outbox is not None)
    @rule(number=st.integers(0, 5))
    def forget(self, number: int) -> None:
        assert self.outbox is not None
        self.promised -= {key for key in self.promised if key in {f"known {number}", f"wrong {number}"}}
        self._run(self.outbox.forget(EmailAddress=f"p{number}@example.com"))

    @precondition(lambda self: self.outbox is not None)
    @rule(older_than=st.sampled_from([0.0, 100.0]))
    def purge(self, older_than: float) -> None:
        assert self.outbox is not None
        final = {"confirmed", "rejected", "unknown"}
        before = self._rows()
        self.promised -= {key for key, (_, state) in before.items() if state in final}
        self._run(self.outbox.purge(older_than))

    @precondition(lambda self: self.outbox is not None)
    @rule()
    def look(self) -> None:
        """What was promised is there, and each row went on by steps that exist."""
        rows = self._rows()
        assert self.promised <= rows.keys(), f"lost: {self.promised - rows.keys()}"
        for row, state in rows.values():
            before = self.states.get(row, "pending")
            assert state in STEPS[before], f"row {row} went from {before} to {state}"
            self.states[row] = state

    def _rows(self) -> dict[str, tuple[int, str]]:
        """The rows by key, read behind the outbox's back."""
        path = self.machine.path
        if not path.exists():
            return {}
        connection = sqlite3.connect(path)
        try:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'items'").fetchone():
                return {}
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found = connection.execute("SELECT key, id, state FROM items").fetchall()
        finally:
            connection.close()
        return {key: (row, state) for key, row, state in found}

    def teardown(self) -> None:
        try:
            self._left = None
            self.weather(FAULTS[0])
            if Wire.is_dead:
                self.loop.run_until_complete(self._end())
            if self.outbox is None:
                self.start()
            self.look()
            outbox = self.outbox
            assert outbox is not None
            self._run(outbox.drained())
            self.look()
            self.loop.run_until_complete(self._check_books())
            self.close()
            left = {task for task in asyncio.all_tasks(self.loop) if task.get_name() != "sandbox arrival"}
            assert not left, left
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()
            self._stack.close()

    async def _check_books(self) -> None:
        """The final states agree with what LeadSquared took, and the limit held across all processes."""
        books = self.machine.books
        attributes = [values.attributes for values in books.leads.values()]
        taken = [each.get("EmailAddress") or each.get("FirstName") for each in attributes]
        for key, (_, state) in self._rows().items():
            assert state in {"confirmed", "rejected", "unknown"}, f"{key} ended {state}"
            name = LEADS[key].get("EmailAddress") or LEADS[key]["FirstName"]
            if state == ItemState.CONFIRMED:
                assert name in taken, f"{key} is confirmed, and LeadSquared has no such lead"
            if key.startswith("wrong"):
                assert state != ItemState.CONFIRMED
        assert books.most_arrivals() <= 25
        assert books.over_limit == 0


logging.getLogger("leadsquared_async").addHandler(logging.NullHandler())
