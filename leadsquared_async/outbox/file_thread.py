"""The thread that uses an outbox's file: SQLite blocks, and a connection is for one thread only."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["FileThread"]

Job = Callable[[], object]


class FileThread:
    """Runs jobs one after the other, in a thread that starts with the first job.

    A `ThreadPoolExecutor` would take half as long again for each commit. The thread ends with `end`, or with
    the last reference to this object. It does not keep Python from exiting.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._is_started = False
        self.end = weakref.finalize(self, self._jobs.put, None)
        """Ends the thread after the jobs so far."""

    def run(self, job: Job) -> None:
        """Run a job, which must not raise; raises RuntimeError if the thread cannot start or has ended."""
        if not self.end.alive:
            raise RuntimeError("the thread has ended")
        if not self._is_started:
            thread = threading.Thread(
                target=_work, args=(self._jobs,), name="leadsquared_async outbox", daemon=True
            )
            thread.start()
            self._is_started = True
        self._jobs.put(job)


def _work(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # it may hold the last reference to the outbox, while this waits for the next
