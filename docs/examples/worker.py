"""A long-running worker: it reads JSON Lines files from a folder and makes a lead of each line.

Needs leadsquared_async[outbox]:

    python worker.py inbox

It puts them into an outbox. `capture_many` would yield results to code that waits for them; here no code
waits, and a lead without a result would be lost with the process. A line is on disk before its file is
deleted, a file that is read again after a crash adds nothing, and files are read even during an outage.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from leadsquared_async import (
    InvalidLead,
    ItemState,
    LeadSquared,
    Outbox,
    OutboxError,
    OutboxItem,
    Submission,
    submissions,
)

logger = logging.getLogger("worker")

LOOK_EVERY = 1.0
"""Seconds between checks of the folder."""


async def main(inbox: Path, leads: Path) -> None:
    async with LeadSquared() as lsq:
        outbox = Outbox(leads, lsq)
        outbox.on_final(ended)  # before it is entered, to get items that were final earlier
        async with outbox:
            pulling = asyncio.create_task(pull(inbox, outbox))
            for stop in (signal.SIGTERM, signal.SIGINT):
                with suppress(NotImplementedError):  # Windows, where asyncio.run cancels `main` on Ctrl-C
                    asyncio.get_running_loop().add_signal_handler(stop, pulling.cancel)
            with suppress(asyncio.CancelledError):
                await pulling
            logger.info("stopping")
        # All calls have ended, and the other leads are on disk.
    async with Outbox(leads) as rest:  # without a client, so that nothing is sent
        counts = (await rest.snapshot()).counts
    logger.info("left: %d to send, %d to follow", counts[ItemState.PENDING], counts[ItemState.ACCEPTED])


async def pull(inbox: Path, outbox: Outbox) -> None:
    while True:
        await take(inbox, outbox)
        await asyncio.sleep(LOOK_EVERY)


async def take(inbox: Path, outbox: Outbox) -> None:
    """Put what is in the folder into the outbox.

    The producer writes each file under another name, renames it to `....jsonl` once it is complete, and never
    uses a name twice.
    """
    for path in waiting(inbox):
        try:
            new = await outbox.put_many(entries(path))
        except ValueError as error:  # not JSON, InvalidLead or KeyReused: the file is invalid
            # The lines before the invalid one are in the outbox. Once corrected, the file adds the others.
            path.rename(path.with_suffix(".refused"))
            line = f"{error.reference}: " if isinstance(error, InvalidLead) else ""
            logger.error("%s is set aside: %s%s", path.name, line, error)  # noqa: TRY400 - it names the line
        except OutboxError as error:  # such as a full disk: the files stay in the folder
            logger.error("%s must wait: %s", path.name, error)  # noqa: TRY400 - it says what to do
            return
        else:
            path.unlink()
            logger.info("%s: %d new leads", path.name, new)


def waiting(inbox: Path) -> list[Path]:
    return sorted(inbox.glob("*.jsonl"))


def entries(path: Path) -> Iterator[Submission]:
    """Each line with its own key, so that a repeated line adds no lead."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                lead = json.loads(line)
            except ValueError:
                raise ValueError(f"line {number} is not JSON") from None
            key = f"{path.name}:{number}"
            yield submissions.capture_lead(lead, reference=key).with_key(key)


def ended(item: OutboxItem) -> None:
    """Log the outcome of a lead without `item.reason`, which may quote the lead."""
    if item.state is ItemState.CONFIRMED:
        logger.info("%s is lead %s", item.reference, item.lead_id)
    else:  # `leadsquared outbox export` shows why, `leadsquared outbox requeue` sends it again, corrected
        logger.warning("%s is %s", item.reference, item.state)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(main(Path(sys.argv[1]), Path("leads.db")))
