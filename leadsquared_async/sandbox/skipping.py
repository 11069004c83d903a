"""The default clocks of a sandbox: those of the machine and of the loop, plus what a test has skipped."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

_machine, _wall = time.monotonic, time.time  # the functions themselves, even while a test patches `time`
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_skipped = 0.0


def skip(seconds: float) -> None:
    """Move the default clocks of all sandboxes of this process forward."""
    global _skipped  # noqa: PLW0603
    _skipped += seconds


def monotonic() -> float:
    """Seconds on the machine's clock."""
    return _machine() + _skipped


def today() -> datetime:
    """The date and time of the machine, in UTC."""
    return _EPOCH + timedelta(seconds=_wall() + _skipped)


def loop_time() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time() + _skipped
