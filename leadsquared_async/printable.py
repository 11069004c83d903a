"""Text from outside as one line of bounded length that cannot mislead a terminal or a log.

LeadSquared's messages, references, file names and cells hold what other people wrote. A line break in them
would forge a log line, a terminal would obey an escape sequence, and a bidirectional mark would reverse a
name.
"""

from __future__ import annotations

import logging
import unicodedata
from logging import LogRecord

__all__ = ["LONGEST", "Traceback", "one_line", "printable"]

LONGEST = 1000
"""Characters of a line, at most, unless the caller asks for fewer."""


def one_line(text: object, most: int = LONGEST) -> str:
    """The text on one line, without unprintable characters, cut to `most` characters."""
    whole = str(text)
    line = " ".join(printable(whole[: 4 * most]).split())
    is_cut = len(line) > most or len(whole) > 4 * most
    return f"{line[:most]}…" if is_cut else line


def printable(text: str) -> str:
    """The text without unprintable characters, but with its line feeds and spaces: for lines of our own.

    Zero-width marks (category Cf) are removed, since scripts such as Devanagari have them inside words.
    Controls, line and paragraph separators and halves of surrogate pairs become spaces.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    return "" if unicodedata.category(character) == "Cf" else " "


class Traceback(str):
    """A traceback of several lines, which the log keeps as it is."""

    __slots__ = ()


class _OneLine(logging.Filter):
    """Makes the message one line, and each of the record's extra attributes one line."""

    def filter(self, record: LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_harmless, record.args))
        for name, value in vars(record).items():
            if name not in _STANDARD:
                setattr(record, name, _harmless(value))
        return True


def _harmless(value: object) -> object:
    if value is None or isinstance(value, int | float | Traceback):
        return value
    return one_line(value)


_STANDARD = frozenset(vars(LogRecord("", 0, "", 0, "", (), None))) | {"taskName", "message", "asctime"}

logging.getLogger("leadsquared_async").addFilter(_OneLine())
