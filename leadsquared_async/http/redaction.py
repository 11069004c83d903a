"""Errors leave the package without the local variables of the frames they passed.

Error trackers, and `traceback` with `capture_locals`, show what every frame held, leads and keys among it.
The frames themselves stay, so that a traceback still shows the way; what they held does not.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from leadsquared_async.printable import Traceback

__all__ = ["sealed", "sealed_init", "way_of"]

P = ParamSpec("P")
T = TypeVar("T")


def sealed(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let nothing that the method was given show in the traceback of what it raises."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        handled = sys.exception()
        try:
            running = method(*args, **kwargs)
        finally:
            del args, kwargs
        try:
            return await running
        except BaseException as error:
            _empty_frames(error, handled)
            raise

    return call


def sealed_init(method: Callable[P, None]) -> Callable[P, None]:
    """The same for a constructor."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        handled = sys.exception()
        try:
            method(*args, **kwargs)
        except BaseException as error:
            _empty_frames(error, handled)
            raise
        finally:
            del args, kwargs

    return call


def way_of(error: BaseException) -> Traceback:
    """An error's name and the way it took, for a log: without its words, which may repeat a lead."""
    return Traceback(f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")


def _empty_frames(error: BaseException, handled: BaseException | None) -> None:
    """Empty the frames of `error` and of what it is chained to, up to what its caller was `handled`ing."""
    chain: list[BaseException | None] = [error]
    seen = {handled, None}
    while chain:
        link = chain.pop()
        if link is None or link in seen:
            continue
        seen.add(link)
        trace = link.__traceback__
        while trace is not None:
            if _is_over(trace.tb_frame):
                with suppress(RuntimeError):  # it runs: the wrapper itself, or a frame above it
                    trace.tb_frame.clear()
            trace = trace.tb_next
        if link.__suppress_context__:
            link.__context__ = None
        chain += (link.__cause__, link.__context__)


_OURS = frozenset({"leadsquared_async", "httpx", "httpcore", "anyio", "tenacity", "aiolimiter"})
_SUSPENDS = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _is_over(frame: FrameType) -> bool:
    """Whether a frame will not go on.

    To clear a coroutine's frame ends the coroutine, before Python 3.13 without a word; and an error that came
    through a future may have passed one of the caller's that still runs.
    """
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return module in _OURS or not frame.f_code.co_flags & _SUSPENDS
