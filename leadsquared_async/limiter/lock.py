"""The lock of all queues of tokens. A fork waits for it, so that no queue is copied during a change."""

from __future__ import annotations

import os
import threading

__all__ = ["LOCK"]

LOCK = threading.RLock()
"""Held while the state of any queue changes; reentrant because a signal handler may take a snapshot."""

if hasattr(os, "register_at_fork"):  # not on Windows
    # Python calls the functions of `before` in reverse order. One of the program's may wait for a client to
    # close, which needs the lock. So the package imports this module first, and the lock is taken last.
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)
