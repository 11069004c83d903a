"""The lock of all queues, and forks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CLOSING = """
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


CHANGING = """
import os, threading, time
from leadsquared_async.limiter.lock import LOCK

def change():
    with LOCK:
        begun.set()
        time.sleep(0.2)

begun = threading.Event()
threading.Thread(target=change).start()
begun.wait()
child = os.fork()
if child:
    print(os.waitpid(child, 0)[1])
else:
    os._exit(not LOCK.acquire(timeout=10))
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def run(program: str) -> str:
    command = (sys.executable, "-W", "ignore", "-c", program)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout


def test_what_a_program_does_before_a_fork_may_change_queues() -> None:
    """A program may close its client before a fork, in another thread: the lock is taken after that."""
    assert run(CLOSING).split() == ["True", "0"]


def test_a_fork_waits_for_a_change_of_a_queue() -> None:
    """Otherwise the child would have a queue in the middle of a change, and a lock that nobody releases."""
    assert run(CHANGING).split() == ["0"]
