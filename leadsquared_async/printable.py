"""Untrusted text as one line of bounded length that is safe in a terminal and a log.

LeadSquared's messages, references, file names and cells contain other people's text. A line break could forge
a log line, an escape sequence could control a terminal, a bidirectional mark could reverse a name.
"""

from __future__ import annotations

import os
import shlex
import unicodedata
from pathlib import Path

__all__ = ["LONGEST", "one_line", "printable", "shell_word"]

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


def shell_word(path: Path) -> str:
    """A path as one word of a shell command; one that is not printable UTF-8 as $'...', with its bytes."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    plain = (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return "$'" + "".join(f"\\{char}" if char in "\\'" else char for char in plain) + "'"


def _printable(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    return "" if unicodedata.category(character) == "Cf" else " "
