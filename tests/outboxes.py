"""Outboxes in virtual time: the file's thread runs in the loop, the wall clock is the loop's, and no commit
waits for the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from leadsquared_async.outbox import service, writer
from leadsquared_async.outbox.store import Store


class InlineThread:
    """Does at once what it is given: a virtual clock would not wait for a thread."""

    def __init__(self) -> None:
        self._is_ended = False

    def run(self, job: Callable[[], object]) -> None:
        """Run the job."""
        if self._is_ended:
            raise RuntimeError("the thread has ended")
        job()

    def end(self) -> None:
        """Take no more jobs."""
        self._is_ended = True


@contextmanager
def virtual_files() -> Iterator[None]:
    """For the length of a test, outboxes keep to the running loop's clock."""
    real = time.time

    def wall() -> float:
        try:
            return 1.8e9 + asyncio.get_running_loop().time()
        except RuntimeError:
            return real()

    def open_without_fsync(self: Store, *values: Any, **options: Any) -> None:
        init(self, *values, **options)
        self.connection.execute("PRAGMA synchronous = OFF")

    init = Store.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "__init__", open_without_fsync)
        patch.setattr(writer, "FileThread", InlineThread)
        patch.setattr(time, "time", wall)
        patch.setattr(service, "since_boot", lambda: ("virtual", wall()))
        yield
