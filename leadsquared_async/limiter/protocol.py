"""What a bucket needs of a store, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from leadsquared_async.limiter.redis_messages import Reply, Request

__all__ = ["Store", "StoreUnavailable"]


class StoreUnavailable(Exception):
    """The store could not be reached, or did not do what it was asked; the message says why."""


class Store(Protocol):
    """Where the state of a bucket is."""

    @property
    def channel(self) -> str:
        """Where this process listens for hints."""
        ...

    async def exchange(self, key: str, request: Request) -> Reply:
        """Tell the state of that key a request, and return its reply.

        Raises:
            StoreUnavailable: it was not told, or may have been told without a reply.
            Incompatible: the state is of another version.
        """
        ...

    def listen(self, key: str, hear: Callable[[float], None]) -> None:
        """Have `hear` called with the seconds that a hint for that key names."""
        ...

    def forget(self, key: str, hear: Callable[[float], None]) -> None:
        """Call `hear` no longer."""
        ...
