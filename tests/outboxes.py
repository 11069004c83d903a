"""Outboxes in virtual time: the file's thread runs in the loop, the wall clock is the loop's, and no commit
waits for the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import pytest

from leadsquared_async.outbox import service, writer
from leadsquared_async.outbox.store import Store


class InlineExecutor(Executor):
    """Does at once what it is given: a virtual clock would not wait for a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


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
        patch.setattr(writer, "new_thread", InlineExecutor)
        patch.setattr(time, "time", wall)
        patch.setattr(service, "since_boot", lambda: ("virtual", wall()))
        yield
