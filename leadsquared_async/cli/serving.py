"""`leadsquared outbox serve`: delivers outbox files until it is stopped, for processes that only put."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from leadsquared_async import LeadSquared, Outbox, OutboxSnapshot
from leadsquared_async.cli.addresses import Address, listener
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.exits import ExitStatus, error_text
from leadsquared_async.cli.files.private_files import without_links
from leadsquared_async.cli.log_lines import LogFormat, logging_lines
from leadsquared_async.cli.options import BulkRate, NoConfirm, OutboxFiles, option
from leadsquared_async.cli.outboxes import HELD, counts_of, hold_of
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import logger
from leadsquared_async.errors import OutboxError
from leadsquared_async.outbox import is_locked_out, set_note, why_stopped

__all__ = ["FileDelivery", "readiness_of", "serve"]

LOOK_EVERY = 1.0
SHARE_OF_LOOKING = 0.05
"""Of the time: counting a million rows is slow."""
REOPEN_AFTER = 5.0
OLD = 30.0
"""Seconds without a successful read after which the file counts as unusable: the disk does not respond."""
STOP_EVERY = 0.1
LOCKED_OUT = "another process delivers this file"


def serve(
    files: OutboxFiles,
    connection: Connection,
    listen: Annotated[
        Any,
        option(
            "--listen HOST:PORT",
            "Where to serve the pages; port 0 picks a free port.",
            parse=Address.parse,
        ),
    ] = "127.0.0.1:8026",
    log_format: Annotated[
        LogFormat | None,
        option(
            "--log-format", "Write the log as text or as JSON lines. Default: text at a terminal, else JSON."
        ),
    ] = None,
    name: Annotated[
        str | None,
        option("--name NAME", "The account's name in the log and the metrics, if you have several accounts."),
    ] = None,
    no_confirm: NoConfirm = False,
    bulk_rate: BulkRate = None,
) -> ExitStatus:
    """Deliver outbox files until SIGTERM or Ctrl-C, for processes that only put leads into them.

    These processes open the file without a client and need no keys.
    A file that does not exist is created.

    /healthz answers 200 while the process runs.
    /readyz answers 200 while every file is being delivered, else 503; its JSON
    has the reason and the row counts.
    /metrics is for Prometheus.

    It keeps running through account-level errors.
    To change keys, restart it; no lead is lost.

    Exit status: 0 after a stop, once all calls in flight have ended;
    2 for invalid options or environment;
    3 after a second signal, which ends it at once.

    Example: leadsquared outbox serve leads.db --listen 0.0.0.0:8026
    """
    from leadsquared_async.cli.serve_pages import metrics_page, pages, serving  # noqa: PLC0415 - slow to import

    connection = replace(connection, name=name, bulk_rate=bulk_rate)
    with logging_lines(log_format), Stop(on_hang_up=True) as stop, listener(listen) as bound:
        metrics = metrics_page()  # before the client is created; otherwise its metrics are not recorded

        async def run() -> None:
            ending = asyncio.Event()
            async with connection.client() as lsq, asyncio.TaskGroup() as tasks:
                distinct = {without_links(path): path for path in files}.values()
                deliveries = [FileDelivery(path, lsq, ending, confirm=not no_confirm) for path in distinct]
                running = [tasks.create_task(delivery.run()) for delivery in deliveries]
                async with serving(pages(lambda: readiness_of(deliveries), metrics), bound):
                    address = Address(listen.host, bound.getsockname()[1])
                    _log("listening", f"serving http://{address}/readyz, /healthz and /metrics")
                    while stop.why is None:  # noqa: ASYNC110 - set by a signal
                        await asyncio.sleep(STOP_EVERY)
                    _log("stopping", "stopping: waiting for calls in flight; a second signal exits at once")
                    ending.set()
                    await asyncio.wait(running)

        asyncio.run(run())
        _log("stopped", "stopped; undelivered leads stay in the file")
    return ExitStatus.DONE


class FileDelivery:
    """Delivers one file until `ending` is set, and reopens it after errors.

    Args:
        path: the file.
        lsq: an open client.
        ending: stops delivery.
        confirm: whether outcomes are followed.

    Attributes:
        reason: why the file is not delivered; None if it is.
    """

    def __init__(self, path: Path, lsq: LeadSquared, ending: asyncio.Event, *, confirm: bool) -> None:
        self._path = path
        self._lsq = lsq
        self._ending = ending
        self._confirm = confirm
        self._snapshot: OutboxSnapshot | None = None
        self._looked_at = _now()
        self._reason: str | None = "starting"
        self._logged = ""
        self._noted: str | None = None

    async def run(self) -> None:
        while not self._ending.is_set():
            try:
                async with Outbox(self._path, self._lsq, confirm=self._confirm) as outbox:
                    self._reason = await self._watch(outbox)
            except (OutboxError, OSError) as error:
                self._reason = error_text(error)
            if self._reason is not None:
                self._log_once("unusable", f"{self._reason}; retrying every {REOPEN_AFTER:.0f} s")
                await self._pause(REOPEN_AFTER)

    @property
    def reason(self) -> str | None:
        if self._ending.is_set():
            return "stopping"
        if self._snapshot is not None and self._reason is None and (age := _now() - self._looked_at) > OLD:
            return f"the disk has not responded for {age:.0f} s"
        return self._reason

    def shown(self) -> dict[str, Any]:
        """What `/readyz` shows; contains no values of a lead."""
        shown: dict[str, Any] = {"file": str(self._path), "reason": self.reason}
        if (snapshot := self._snapshot) is not None:
            counts = counts_of(snapshot)
            shown |= {
                "fault": snapshot.fault,
                "next_probe": snapshot.next_probe,
                "held": dict(snapshot.held),
                "counts": counts,
                "dead_letters": counts["rejected"] + counts["unknown"],
                "oldest": snapshot.oldest,
                "size": snapshot.size,
                "age": _now() - self._looked_at,
            }
        return shown

    async def _watch(self, outbox: Outbox) -> str | None:
        """Return why delivery has stopped; None if `ending` was set."""
        while not self._ending.is_set():
            began = _now()
            self._snapshot = snapshot = await outbox.snapshot()
            self._looked_at = _now()
            if (why := why_stopped(outbox)) is not None:
                return why
            self._reason = snapshot.blocked
            if is_locked_out(outbox):
                self._reason = LOCKED_OUT
                self._log_once("waiting", f"{self._path}: {LOCKED_OUT}; waiting for it to end")
            elif snapshot.delivers:
                if snapshot.blocked is None:
                    self._log_once("delivering", f"{self._path}: delivering")
                await self._note(outbox, hold_of(snapshot))
            else:
                self._reason = snapshot.blocked or "starting"
            await self._pause(max(LOOK_EVERY, (_now() - began) / SHARE_OF_LOOKING))
        return None

    async def _note(self, outbox: Outbox, held: str) -> None:
        """Store why delivery is on hold, so that `leadsquared outbox stats` can show it."""
        if held != self._noted:
            self._noted = held
            with suppress(OutboxError, OSError):  # if the file cannot be written, that is the reason
                await set_note(outbox, HELD, held)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def _log_once(self, event: str, message: str) -> None:
        """Log it, unless it was the last message about this file."""
        if message != self._logged:
            self._logged = message
            level = logging.ERROR if event == "unusable" else logging.INFO
            _log(event, message, level, outbox=self._path.name)


def readiness_of(deliveries: Sequence[FileDelivery]) -> tuple[bool, dict[str, Any]]:
    """Whether every file is delivered, and what `/readyz` shows."""
    is_ready = all(delivery.reason is None for delivery in deliveries)
    return is_ready, {"ready": is_ready, "outboxes": [delivery.shown() for delivery in deliveries]}


def _log(event: str, message: str, level: int = logging.INFO, **attributes: str) -> None:
    logger.log(level, "%s", message, extra={"event": event, **attributes})


def _now() -> float:
    return asyncio.get_running_loop().time()
