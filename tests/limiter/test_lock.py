"""The lock of all queues, and forks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import leadsquared_async
import os, threading

def close_a_client():
    from leadsquared_async.limiter.lock import LOCK

    def change():
        with LOCK:
            changed.set()

    changed = threading.Event()
    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    thread.join(10)
    print(changed.is_set())

os.register_at_fork(before=close_a_client)
import leadsquared_async.client, leadsquared_async.limiter.local_limits
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    print(status)
else:
    with leadsquared_async.limiter.lock.LOCK:
        os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_a_program_does_before_a_fork_may_change_queues() -> None:
    """A program may close its client before a fork, in another thread: the lock is taken after that."""
    done = subprocess.run(
        (sys.executable, "-W", "ignore", "-c", PROGRAM),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["True", "0"], "")
