"""What asyncio code offers, for code that blocks: in an event loop of its own, in a thread of its own."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Generic, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

C = TypeVar("C")
R = TypeVar("R")


class Account(Generic[C]):
    """An asynchronous context, such as a client, that is open between `start` and `stop`.

    Each process starts its own. A fork takes along neither the thread nor the loop, and whoever waited for
    them would wait for ever. So what is open is closed before a fork, and nothing of it is inherited.
    `subprocess` does not fork in this sense.

    Args:
        context: makes what is entered.
    """

    def __init__(self, context: Callable[[], AbstractAsyncContextManager[C]]) -> None:
        self._context = context
        self._stack = ExitStack()
        self._open: tuple[BlockingPortal, C] | None = None
        os.register_at_fork(before=self.stop)

    def start(self) -> None:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            opened = stack.enter_context(portal.wrap_async_context_manager(self._context()))
            self._stack, self._open = stack.pop_all(), (portal, opened)

    def stop(self) -> None:
        """Leave the context, then end the thread; where nothing is open this does nothing."""
        self._open = None
        self._stack.close()

    def call(self, use: Callable[[C], Awaitable[R]]) -> R:
        """What `use` comes to, awaited in the loop; any thread may call."""
        if self._open is None:
            raise RuntimeError(f"not open in process {os.getpid()}: call start() in it first")
        portal, opened = self._open
        return portal.call(use, opened)
