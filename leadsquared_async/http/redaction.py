"""Keeps secrets and personal data out of tracebacks, messages and logs.

Error trackers, and `traceback` with `capture_locals`, show the local variables of every frame, including
leads and keys. So errors leave the package with their frames but without the frames' local variables.
"""

from __future__ import annotations

import functools
import inspect
import logging
import re
import sys
import traceback
import unicodedata
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

from leadsquared_async.config import MASK
from leadsquared_async.logs import Traceback
from leadsquared_async.printable import one_line

__all__ = [
    "call_without_locals",
    "masked",
    "redact_logs_of_task",
    "traceback_without_values",
    "without_locals",
]

P = ParamSpec("P")
T = TypeVar("T")


def without_locals(method: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Clear the local variables of every frame that an error of this method has passed through.

    For methods that a user calls and tasks that the package starts; once per call. If `method` is a plain
    function that returns a coroutine, no frame of it stays in memory while the coroutine waits.
    """

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        handled = sys.exception()
        try:
            try:
                running = method(*args, **kwargs)
            finally:
                del args, kwargs
            return await running
        except BaseException as error:
            _clear_frames(error, handled)
            raise

    return call


def call_without_locals(method: Callable[P, T]) -> Callable[P, T]:
    """The same for a constructor, and for a method that is not asynchronous."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        handled = sys.exception()
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            _clear_frames(error, handled)
            raise
        finally:
            del args, kwargs

    return call


def traceback_without_values(error: BaseException) -> Traceback:
    """An error's name and traceback, without its message, which may repeat a lead."""
    return Traceback(f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")


def _clear_frames(error: BaseException, handled: BaseException | None) -> None:
    """Clear the frames of `error` and its chain, up to the error that the caller was handling."""
    chain: list[BaseException | None] = [error]
    seen = {handled, None}
    while chain:
        link = chain.pop()
        if link is None or link in seen:
            continue
        seen.add(link)
        trace = link.__traceback__
        while trace is not None:
            if _has_ended(trace.tb_frame):
                with suppress(RuntimeError):  # still running: the wrapper itself, or a frame above it
                    trace.tb_frame.clear()
            trace = trace.tb_next
        if link.__suppress_context__:
            link.__context__ = None
        chain += (link.__cause__, link.__context__)


_OURS = frozenset({"leadsquared_async", "httpx", "httpcore", "anyio", "tenacity", "aiolimiter"})
_SUSPENDS = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _has_ended(frame: FrameType) -> bool:
    """Whether a frame will not be resumed.

    Clearing a coroutine's frame ends the coroutine, silently before Python 3.13. An error that came through
    a future may have passed through one of the caller's coroutines that still runs.
    """
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return module in _OURS or not frame.f_code.co_flags & _SUSPENDS


# LeadSquared may quote stored values as well as sent ones.
# The first half is tried only where a word starts; otherwise a long word would take quadratic time.
_ADDRESS = re.compile(
    r"(?<![^\s\"'<>,;:=@()])[^\s\"'<>,;:=@()]+(?:@|%40)[^\s\"'<>,;()]+|\+?\d[\d\s().-]{6,}\d"
)
# Shorter values are masked only as whole words, except in scripts where two characters can be a name.
_SHORTEST = 3
_BEGINNING = 12
"""Characters of a value that are masked even without the rest, because servers truncate quotes."""
_LONGEST = 300
_READ = 1000
"""The most characters shown: a server may send a megabyte of text."""
_UNSURE = 200
"""Characters searched beyond those, because the text shown may end inside a value or an address."""

_Span = tuple[int, int]


def masked(text: str, private: tuple[str, ...]) -> str:
    """The text without these values, e-mail addresses and phone numbers, on one line, truncated.

    Its cost is linear in the number of values, and bounded in their length and the text's.
    """
    looked_at = _unescaped(text[: _READ + _UNSURE])
    cut = {value[: len(looked_at)] for value in private}
    cut |= set(map(_unescaped, cut))
    telling = {value for value in cut if len(value) >= _SHORTEST or not value.isascii()}
    telling |= {
        _unescaped(spelled(value, safe="", errors="replace"))
        for value in telling
        for spelled in (quote, quote_plus)
    }
    spans = [match.span() for match in _ADDRESS.finditer(looked_at)]
    spans += _spans_of_words(looked_at, {value for value in cut - telling if value.isalnum()})
    spans += _spans_of_values(_folded(looked_at), {_folded(value) for value in telling if value})
    shown = looked_at if len(text) <= _READ + _UNSURE else looked_at[:-_UNSURE]
    return one_line(_without(shown, spans), _LONGEST).rstrip(".")


_ESCAPE = re.compile(
    r"(?<!\\)\\+(?:u([0-9a-fA-F]{4})|([nrt\"/]))?|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});"
)
_PERCENT_ESCAPE = re.compile(r"%(?:25)+(?=[0-9a-fA-F]{2})")


def _unescaped(text: str) -> str:
    """The text on one line, without escapes of HTML and JSON, percent-encoded at most once, accents composed.

    A page, or a string inside JSON, repeats a value in them.
    """
    if "&" in text or "\\" in text:
        text = _ESCAPE.sub(_character, text)
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # joins pairs
    text = " ".join(_PERCENT_ESCAPE.sub("%", text).split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _character(escape: re.Match[str]) -> str:
    """The character of an escape; letters and digits stay, since a key may be escaped as a whole."""
    from html import unescape  # noqa: PLC0415 - slow to import

    code, letter = escape.groups()
    if escape[0].endswith("\\"):  # JSON doubles a backslash
        return "\\"
    if letter:
        return letter if letter in '"/' else " "
    character = chr(int(code, 16)) if code else unescape(escape[0])
    return escape[0] if character.isascii() and character.isalnum() else character


def _spans_of_words(text: str, values: set[str]) -> Iterator[_Span]:
    return (match.span() for match in re.finditer(r"\w+", text) if match[0] in values) if values else iter(())


def _spans_of_values(text: str, values: Iterable[str]) -> Iterator[_Span]:
    """The spans of the values, or of their beginnings if they are long."""
    for value in values:
        beginning = value[:_BEGINNING]
        place = text.find(beginning)
        while place >= 0:
            same = _common_length(text, place, value)
            yield place, place + same
            place = text.find(beginning, place + max(1, same - _BEGINNING + 1))


def _common_length(text: str, place: int, value: str) -> int:
    """How much of the value stands at that place, by bisection; its beginning is known to."""
    same, most = min(_BEGINNING, len(value)), len(value)
    while same < most:
        middle = (same + most + 1) // 2
        if text.startswith(value[:middle], place):
            same = middle
        else:
            most = middle - 1
    return same


def _folded(text: str) -> str:
    """The text in lower case with the same length, so that positions match."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


def _without(text: str, spans: Iterable[_Span]) -> str:
    """The text with each span masked; overlapping spans share one mask."""
    parts: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= len(text):
            break
        if start >= end:
            parts += (text[end:start], MASK)
        end = max(end, stop)
    return "".join(parts) + text[end:]


def redact_logs_of_task(mask: Callable[[str], str]) -> None:
    """Pass everything that httpx and its dependencies log in the running task through `mask`.

    A server may echo the request: httpx logs its reason phrase, and httpcore its headers.
    """
    _mask.set(mask)
    for logger in _LOGGERS:
        if _redact not in logger.filters:
            logger.addFilter(_redact)


_mask: ContextVar[Callable[[str], str] | None] = ContextVar("leadsquared_async_mask", default=None)


class _Redact(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        mask = _mask.get()
        if mask is not None:
            record.msg, record.args = mask(record.getMessage()), ()
        return True


_LOGGERS = tuple(
    logging.getLogger(name)
    for name in (
        "httpx",
        *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
        # With HTTP/2, which a custom transport may use, it logs every request header.
        "hpack.hpack",
        "hpack.table",
    )
)
_redact = _Redact()
