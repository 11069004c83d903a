"""Delivering, by the one process that may: what runs from when the lock is free until the outbox closes."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.errors import ClientClosed, OutboxError
from leadsquared_async.operations import CAPTURE_LEADS
from leadsquared_async.outbox.confirmation import Confirmer
from leadsquared_async.outbox.delivery import Deliverer
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.outbox.holding import Holding
from leadsquared_async.outbox.ledger import Ledger
from leadsquared_async.outbox.store import Claim, Store
from leadsquared_async.outbox.writer import Writer

__all__ = ["Service"]

logger = logging.getLogger("leadsquared_async")

TRY_THE_LOCK_EVERY = 1.0
TIDY_EVERY = 30.0
"""Seconds between two times that the write-ahead log is emptied: what was erased may be in it until then."""
HOUR = 3600.0

_process = secrets.token_hex(8)


class Service:
    """The tasks that deliver one outbox.

    Args:
        path: of the outbox's file.
        writer: the way to it.
        ledger: notes what becomes of the rows.
        holding: whether anything may be sent.
        client: delivers.
        confirm: whether accepted rows are followed.
        keep_rejected: seconds after which the values of rejected rows are erased.
    """

    def __init__(
        self,
        path: Path,
        writer: Writer,
        ledger: Ledger,
        holding: Holding,
        client: LeadSquared,
        *,
        confirm: bool,
        keep_rejected: float,
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._holding = holding
        self._client = client
        self._confirm = confirm
        self._keep_rejected = keep_rejected
        self._lock = DeliveryLock(path)
        self._deliverer: Deliverer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: str | None = None

    @property
    def delivers(self) -> bool:
        """Whether this process is the one."""
        return self._deliverer is not None

    @property
    def blocked(self) -> str | None:
        """Why nothing is delivered; None if it is."""
        ended = None if self._deliverer is None else self._deliverer.ended
        return self._broken or (ended and str(ended)) or self._ledger.stuck or self._holding.reason

    def start(self) -> None:
        """Deliver as soon as nobody else does."""
        self._run(self._deliver(), "delivery")

    async def empty_log(self) -> None:
        """Leave nothing of what was erased in the write-ahead log; the one who delivers may."""
        if self._deliverer is not None:
            with suppress(OutboxError):
                await self._writer.read(lambda store: store.checkpoint())

    async def aclose(self, grace: float) -> None:
        """Finish what is on its way within `grace` seconds, and leave the rest."""
        try:
            if self._deliverer is not None:
                await self._deliverer.aclose(grace)
                await self._ledger.aclose(grace)
        finally:
            with anyio.CancelScope(shield=True):
                for task in self._tasks:
                    task.cancel()
                await asyncio.wait(self._tasks)
                if self._deliverer is not None:
                    await self._note_calls()
                    await self.empty_log()
                self._lock.release()

    async def _deliver(self) -> None:
        while not self._lock.acquire():  # noqa: ASYNC110 - the kernel wakes nobody
            await asyncio.sleep(TRY_THE_LOCK_EVERY)
        await self._begin()
        sender, trackers = parts_of(self._client)
        confirmer: Confirmer | None = None

        def follow(row: Claim) -> None:
            if confirmer is not None:
                confirmer.follow(row)

        deliverer = Deliverer(self._writer, self._ledger, self._holding, sender, follow)
        self._deliverer = deliverer
        if self._confirm:
            confirmer = Confirmer(self._writer, self._ledger, self._holding, trackers.of(CAPTURE_LEADS))
            self._run(confirmer.run(), "confirmation")
        self._run(self._tidy(), "tidying")
        self._run(self._ledger.tell_the_untold(), "callbacks")
        await deliverer.run()

    async def _tidy(self) -> None:
        """Empty the log, and erase what has been kept long enough, now and then."""
        erased_at = -HOUR
        while True:
            await asyncio.sleep(TIDY_EVERY)
            with suppress(OutboxError):
                if (now := time.time()) - erased_at >= HOUR:
                    erased_at = now
                    await self._writer.write(partial(Store.erase_rejected, before=now - self._keep_rejected))
                await self.empty_log()

    async def _begin(self) -> None:
        """Note that this process delivers, once the disk takes it."""
        while True:
            try:
                await self._recall_calls()
            except OutboxError as error:
                self._ledger.note(error)
                await asyncio.sleep(TRY_THE_LOCK_EVERY)
            else:
                self._ledger.recovered()
                return

    async def _recall_calls(self) -> None:
        """A restart is not to begin with a full burst: count what the process before may have sent."""
        note = await self._writer.read(lambda store: store.meta("calls"))
        mine = json.dumps({"process": _process})
        await self._writer.write(lambda store: store.set_meta("calls", mine))
        calls: dict[str, Any] = {} if note is None else json.loads(note)
        if note is None or calls["process"] == _process:
            return  # there was none, or this process remembers by itself
        pipeline = parts_of(self._client)[0].session.pipeline()
        now = asyncio.get_running_loop().time()
        if "at" in calls:
            pipeline.recall(calls["spent"], now - max(0.0, time.time() - calls["at"]))
        else:
            pipeline.recall(None, now)  # it died, and nobody knows when

    async def _note_calls(self) -> None:
        with suppress(OutboxError, ClientClosed):
            limit = self._client.snapshot().limit
            spent = 0 if limit is None else limit.limit.calls - limit.free
            note = json.dumps({"process": _process, "at": time.time(), "spent": spent})
            await self._writer.write(lambda store: store.set_meta("calls", note))

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"leadsquared_async outbox {name}")
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = f"{task.get_name()} failed: {error}"
            logger.error("%s failed with %s", task.get_name(), type(error).__name__, exc_info=error)
