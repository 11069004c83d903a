"""Lets blocking code use an asynchronous context, in an event loop in its own thread."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Generic, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

C = TypeVar("C")
R = TypeVar("R")


class Account(Generic[C]):
    """An asynchronous context, such as a client, that is open between `start` and `stop`.

    Each process starts its own. A fork copies neither the thread nor the loop, so a child that used them
    would hang. The context is therefore closed before a fork. `subprocess` does not fork in this sense.

    Args:
        context: makes the context.
    """

    def __init__(self, context: Callable[[], AbstractAsyncContextManager[C]]) -> None:
        self._context = context
        self._stack = ExitStack()
        self._open: tuple[BlockingPortal, C] | None = None
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(before=self.stop)

    def start(self) -> None:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            opened = stack.enter_context(portal.wrap_async_context_manager(self._context()))
            self._stack, self._open = stack.pop_all(), (portal, opened)

    def stop(self) -> None:
        """Leave the context, then end the thread; may be called again."""
        self._open = None
        self._stack.close()

    def call(self, use: Callable[[C], Awaitable[R]]) -> R:
        """Await `use` in the loop, and return its result; callable from any thread."""
        if self._open is None:
            raise RuntimeError(f"not open in process {os.getpid()}: call start() in it first")
        portal, opened = self._open
        return portal.call(use, opened)
