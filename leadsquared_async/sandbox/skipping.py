"""The default clocks of a sandbox: those of the machine and of the loop, plus what a test has skipped."""

import asyncio
import time

_machine = time.monotonic  # the function itself, even while a test patches `time`
_skipped = 0.0


def skip(seconds: float) -> None:
    """Move the default clocks of all sandboxes of this process forward."""
    global _skipped  # noqa: PLW0603
    _skipped += seconds


def monotonic() -> float:
    """Seconds on the machine's clock."""
    return _machine() + _skipped


def loop_time() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time() + _skipped
