"""The options of a run with a file, and the outbox that a file has by default."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from leadsquared_async.cli.durations import time_of_day
from leadsquared_async.cli.files.private_files import without_links
from leadsquared_async.cli.files.tables import STDIN
from leadsquared_async.cli.options import RESULT, SENDING, NoConfirm, RejectsFile, option
from leadsquared_async.hosts import LOOPBACK

__all__ = ["STDIN_NAME", "RunOptions", "default_outbox", "is_trial"]

STDIN_NAME = "leads-from-stdin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How the rows of a file are sent, and where their outcomes are written."""

    outbox: Annotated[
        Path | None,
        option(
            "--outbox FILE",
            "The outbox of this run; by default FILE.outbox, for a sandbox FILE.sandbox.outbox.",
            SENDING,
        ),
    ] = None
    no_confirm: NoConfirm = False
    again: Annotated[bool, option("--again", "Send rows again that an earlier run delivered.", SENDING)] = (
        False
    )
    left_over: Annotated[
        Literal["send", "drop"] | None,
        option("--left-over", "What to do with pending rows that are no longer in the file.", SENDING),
    ] = None
    stop_at: Annotated[
        time | None, option("--stop-at HH:MM", "Stop gracefully at this time.", SENDING, parse=time_of_day)
    ] = None
    dry_run: Annotated[
        bool, option("--dry-run", "Check the file, estimate the run, send nothing.", SENDING)
    ] = False
    yes: Annotated[bool, option("--yes -y", "Do not prompt.", SENDING)] = False
    out: Annotated[
        Path | None,
        option(
            "--out FILE",
            "Write each row's outcome as CSV. Cells that would be formulas get a leading '.",
            RESULT,
        ),
    ] = None
    out_columns: Annotated[
        str,
        option("--out-columns COLUMN,...", "Columns of FILE to copy into --out.", RESULT, default=False),
    ] = ""
    rejects: RejectsFile = None


def default_outbox(file: str, origin: str) -> Path:
    """The outbox of a file: next to it; a host on this machine has another one."""
    path = Path(file)
    if path.is_symlink():  # all links to a file share one outbox
        path = without_links(path)
    if file == STDIN or not path.is_file():
        path = Path(STDIN_NAME)
    trial = ".sandbox" if is_trial(origin) else ""
    return path.with_name(f"{path.name}{trial}.outbox")


def is_trial(origin: str) -> bool:
    return urlsplit(origin).hostname in LOOPBACK
