"""Errors leave the package without the local variables of the frames they passed.

Error trackers, and `traceback` with `capture_locals`, show what every frame held, leads and keys among it.
The frames themselves stay, so that a traceback still shows the way; what they held does not.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

__all__ = ["sealed"]

P = ParamSpec("P")
T = TypeVar("T")


def sealed(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let nothing that the method was given show in the traceback of what it raises."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        running = method(*args, **kwargs)
        del args, kwargs
        try:
            return await running
        except BaseException as error:
            # Only the frames below this one: what else the error is chained to belongs to the caller.
            traceback.clear_frames(error.__traceback__)
            if error.__suppress_context__:
                error.__context__ = None
            raise

    return call
