"""An outbox from opening to closing: the access to its file, and its delivery."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.delivery.hold import Holds
from leadsquared_async.errors import ClientClosed, OutboxError
from leadsquared_async.logs import ClientEvents
from leadsquared_async.outbox.files import create, filelock
from leadsquared_async.outbox.service import Service
from leadsquared_async.outbox.settle import Callback, Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.telemetry import is_set_up

__all__ = ["GRACE", "Lifecycle"]

GRACE = 8.0
LAST_WAIT = 2.0
"""Seconds after the grace to store the states of rows; then the running statement is interrupted."""


class Lifecycle:
    """Opens and closes an outbox, and delivers meanwhile.

    Args:
        given: the path as it was passed; `path` with all links resolved.
        client: to deliver with; None to put only.

    Attributes:
        path: the file.
        max_bytes: size of the file from which `put` raises `OutboxFull`.
        holds: what is on hold.
        callbacks: called with final items.
        file_system: of the file, once it is open; None if unknown.
        writer: gives access to the file, once it is open.
        service: delivers, if it does.
        state: why it cannot be used; empty while it is open.
    """

    def __init__(
        self,
        path: Path,
        given: Path,
        client: LeadSquared | None,
        events: ClientEvents,
        holds: Holds,
        *,
        confirm: bool,
        keep_rejected: float,
        max_bytes: int,
    ) -> None:
        self.path = path
        self._given = given
        self._client = client
        self._events = events
        self._confirm = confirm
        self._keep_rejected = keep_rejected
        self.max_bytes = max_bytes
        self.holds = holds
        self.callbacks: list[Callback] = []
        self.file_system: str | None = None
        self.writer: Writer | None = None
        self.service: Service | None = None
        self._closed: asyncio.Event | None = None
        self._stop_gauges: Callable[[], None] = lambda: None
        self.state = "not open: use it inside `async with Outbox(...) as outbox:`"

    @property
    def delivers(self) -> bool:
        """Whether this process delivers."""
        return self.service is not None and self.service.delivers

    def opened(self) -> Writer:
        """The access to the file; raises ClientClosed if it is not open in this loop and process."""
        if self.state or self.writer is None:
            raise ClientClosed(f"this outbox is {self.state}")
        if self._process != os.getpid():
            raise ClientClosed(
                "this outbox was opened before a fork: open one in each process, after the fork"
            )
        if self._loop is not asyncio.get_running_loop():
            raise ClientClosed("this outbox was opened in another event loop: open one in each loop")
        return self.writer

    async def open(self) -> None:
        """See `Outbox.open`."""
        if self.writer is not None:
            raise ClientClosed("this outbox was opened before: make a new one")
        filelock()  # raises now if it is missing, before the first put
        parts = None if self._client is None else parts_of(self._client)
        if parts is not None:
            parts[0].session.check_usable()  # raises if the client may not be used here
        self.file_system, risk = create(self.path, self._given)
        if risk is not None:
            self._events.log.warning("outbox: %s is on %s", self.path.name, risk)
        self.writer = writer = Writer(
            self.path,
            lambda: Store(self.path, self.max_bytes, self._events.log, only_puts=self._client is None),
            self._events,
        )
        self._process, self._loop = os.getpid(), asyncio.get_running_loop()
        try:
            await writer.open()
            if self._client is not None:
                await self.start(self._client, confirm=self._confirm)
        except BaseException:
            self.state = "closed: it could not be opened"
            await writer.aclose(0.0)
            raise
        self.state = ""

    async def start(self, client: LeadSquared, *, confirm: bool) -> None:
        """Deliver with a client, once no other process does."""
        assert self.writer is not None
        settler = Settler(self.writer, self._events, self.callbacks, confirm=confirm)
        self.service = Service(
            self.path,
            self.writer,
            settler,
            self.holds,
            client,
            confirm=confirm,
            keep_rejected=self._keep_rejected,
        )
        await self.service.start()
        if is_set_up("metrics"):
            from leadsquared_async.outbox.metrics import watch_delivery  # noqa: PLC0415 - needs the extra `otel`

            name = parts_of(client).sender.session.options.name
            self._stop_gauges = watch_delivery(self.service, self.writer, name)

    async def stop(self, grace: float = GRACE) -> None:
        """Stop delivering; the file stays open."""
        self._stop_gauges()
        service, self.service = self.service, None
        if service is not None:
            await service.aclose(grace)

    async def aclose(self, grace: float = GRACE) -> None:
        """See `Outbox.aclose`."""
        loop = asyncio.get_running_loop()
        if self.writer is None or self.state:
            is_in_callback = self.service is not None and self.service.is_in_callback
            if self._closed is not None and self._loop is loop and not is_in_callback:
                await self._closed.wait()
            return
        writer = self.opened()
        self.state = "closed: its `async with` block has ended"
        self._stop_gauges()
        self._closed = asyncio.Event()
        until = loop.time() + grace + LAST_WAIT
        late = loop.call_at(until, writer.break_off)
        try:
            if self.service is not None:
                await self.service.aclose(grace)
        finally:
            late.cancel()
            try:
                await writer.aclose(max(0.0, until - loop.time()))
            finally:
                self._closed.set()

    async def empty_log(self) -> None:
        """Remove erased values from the write-ahead log, if this process may empty it."""
        with suppress(OutboxError, ClientClosed):
            await self.opened().read(Store.checkpoint if self.delivers else Store.empty_free_log)
