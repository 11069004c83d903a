"""Untrusted text as one line of bounded length that is safe in a terminal and a log.

LeadSquared's messages, references, file names and cells contain other people's text. A line break could forge
a log line, an escape sequence could control a terminal, a bidirectional mark could reverse a name.
"""

from __future__ import annotations

import unicodedata

__all__ = ["LONGEST", "one_line", "printable"]

LONGEST = 1000
"""The default length of a line, in characters."""


def one_line(text: object, most: int = LONGEST) -> str:
    """The text on one line, without unprintable characters, truncated to `most` characters."""
    whole = str(text)
    line = " ".join(printable(whole[: 4 * most]).split())
    is_cut = len(line) > most or len(whole) > 4 * most
    return f"{line[:most]}…" if is_cut else line


def printable(text: str) -> str:
    """The text without unprintable characters; line feeds and spaces stay.

    Zero-width marks (category Cf) are removed, since scripts such as Devanagari have them inside words.
    Controls, line and paragraph separators and unpaired surrogates become spaces.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    return "" if unicodedata.category(character) == "Cf" else " "
