"""`leadsquared demo`: leads over a real socket, through faults, to their outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console

from leadsquared_async import LeadSquared, LeadSquaredError, RateLimit
from leadsquared_async.cli.demo_view import Line, Progress, Scene, show_summary
from leadsquared_async.sandbox import Faults, Sandbox

__all__ = ["LIMIT", "run_demo"]

LIMIT = (25, 5.0)
# Some calls fail, and one is taken whose answer is lost; the latencies are those of a far host.
SCRIPT = (
    ("ok",) * 11 + ("500",) + ("ok",) * 9 + ("lost+taken",) + ("ok",) * 13 + ("500",) + ("ok",) * 7 + ("503",)
)
FAULTS = Faults(latency=0.04, jitter=0.06, script=SCRIPT, operations=("capture",))


async def run_demo(console: Console, leads: int, seed: int) -> bool:
    """Run the demo; returns whether every lead arrived, by the sandbox's books.

    Args:
        console: where to show it; plain lines if it is no terminal.
        leads: how many to send.
        seed: for the sandbox's latencies.
    """
    sandbox = Sandbox(limit=LIMIT, count_refused=True, faults=FAULTS, processing_rate=1200, seed=seed)
    scene = Scene(console, Progress(leads), sandbox.books, LIMIT)
    async with sandbox:
        client = LeadSquared(
            access_key=sandbox.access_key,
            secret_key=sandbox.secret_key,
            api_key=sandbox.api_key,
            host=sandbox.url,
            rate_limit=RateLimit(LIMIT[0], per=LIMIT[1]),
            name="demo",
        )
        async with client as lsq:
            showing = asyncio.create_task(scene.show(), name="leadsquared demo")
            try:
                with _losses(scene.progress):
                    await asyncio.gather(
                        *(_one_lead(lsq, number, scene.progress) for number in range(1, leads + 1))
                    )
            finally:
                showing.cancel()
                await asyncio.wait([showing])
    show_summary(scene)
    arrived = scene.progress.confirmed == leads == len(sandbox.books.leads)
    console.print("every lead arrived" if arrived else "not every lead arrived", style="bold")
    console.print(
        "next: leadsquared sandbox, and in another terminal leadsquared check FILE", highlight=False
    )
    return arrived


class _Losses(logging.Handler):
    """Notes the leads whose answer was lost, by what the client logs of its retries."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        reference = str(getattr(record, "reference", None) or "")
        if getattr(record, "event", None) == "retry" and "connection broke" in record.getMessage():
            self._progress.lost.add(int(reference.rpartition("-")[2] or 0))


@contextmanager
def _losses(progress: Progress) -> Generator[None]:
    logger, handler = logging.getLogger("leadsquared_async"), _Losses(progress)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


async def _one_lead(lsq: LeadSquared, number: int, progress: Progress) -> None:
    lead = {
        "FirstName": f"Visitor {number}",
        "EmailAddress": f"visitor-{number}@demo.invalid",
        "Source": "leadsquared demo",
    }
    line = progress.lines[number] = Line(number)
    try:
        receipt = await lsq.leads.capture(lead, reference=f"demo-{number}")
        progress.accepted += 1
        progress.retries += receipt.attempts - 1
        line.request_id, line.outcome = receipt.request_id, "accepted"
        status = await lsq.leads.wait(receipt.request_id)
    except LeadSquaredError as error:
        progress.failed += 1
        line.outcome = type(error).__name__
        return
    if status.succeeded:
        progress.confirmed += 1
        line.lead_id = status.lead_id or ""
        line.outcome = "new lead" if status.created else "updated"
    else:
        progress.failed += 1
        line.outcome = status.raw_state
