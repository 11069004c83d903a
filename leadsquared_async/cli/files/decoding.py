"""The bytes of a file into text and lines: the encoding is recognised, and what it is not is refused."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NoReturn

from leadsquared_async.cli.files.rows import ROW_LIMIT, Unreadable

__all__ = ["PIECE", "encoding_of", "line_ends", "lines_of", "texts_of", "up_to"]

PIECE = 65_536
"""Bytes that are read at once."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NO_TEXT = (
    (b"PK\x03\x04", 'an Excel workbook or another zip file; in Excel, save it as "CSV UTF-8"'),
    (b"\xd0\xcf\x11\xe0", 'an Excel workbook; in Excel, save it as "CSV UTF-8"'),
    (b"\x1f\x8b", "compressed; pass what `gunzip -c` prints of it, and - as the file"),
)
_WAY_OUT = "pass --encoding with the file's own, such as windows-1252, or save it as UTF-8"
_CONTINUED = bytes(range(0x80, 0xC0)).decode("cp1252", errors="ignore")
_NUL = re.compile("\0")
# What Windows-1252 makes of characters that UTF-8 writes in two or three bytes, and of a run of letters that
# are not Latin: a text that is Windows-1252 has such sequences next to never.
_NUL_OR_NOT_WESTERN = re.compile(
    f"\0|[\xc2-\xdf][{_CONTINUED}]|[\xe0-\xf4][{_CONTINUED}]{{2}}|[^\x00-\x7f]{{4}}"
)


def encoding_of(first: bytes, given: str | None) -> tuple[str, int, bool]:
    """The encoding, the length of its mark, and whether it is a guess.

    UTF-8 is strict enough to be known by trying. What is neither it nor UTF-16 may be any of fifty
    encodings with a byte a character, and statistics over a few names often choose a wrong one without a
    word. Windows-1252 is what Excel writes in most of the world; it is told as a guess, and refused where
    the text does not look it.
    """
    for beginning, what in _NO_TEXT:
        if first.startswith(beginning):
            raise Unreadable(f"this is {what}")
    name = _codec(given) if given else ""
    for mark, marked in _MARKS:
        if first.startswith(mark):
            if not marked.startswith(name.removesuffix("-sig")):
                raise Unreadable(f"the file begins with the mark of {marked}; leave out --encoding")
            return marked, len(mark), False
    if name not in {"", "utf-16"}:
        return name.removesuffix("-sig"), 0, False
    # As RFC 4627 tells them apart: the first two characters are ASCII.
    zeros = [not byte for byte in first[:4]]
    if zeros in ([False, True] * 2, [True, False] * 2):
        return ("utf-16-be" if zeros[0] else "utf-16-le"), 0, False
    if name:
        raise Unreadable("no telling which byte comes first; pass --encoding utf-16-le or utf-16-be")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first, final=len(first) < PIECE)
    except UnicodeDecodeError as error:
        if first[: error.start].isascii():
            return "windows-1252", 0, True
    return "utf-8", 0, False


def _codec(name: str) -> str:
    """Python's own name for a text encoding."""
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise Unreadable("--encoding is no encoding that Python knows; try utf-8 or windows-1252") from None


def texts_of(pieces: Iterable[bytes], encoding: str, guessed: bool) -> Iterator[str]:
    """The text, in pieces that never end between \\r and \\n."""
    decoder = codecs.getincrementaldecoder(encoding)()
    wrong = _NUL_OR_NOT_WESTERN if guessed else _NUL
    line, text = 1, ""
    for piece in chain(pieces, (b"",)):
        state = decoder.getstate()
        undecodable = False
        try:
            text += decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            undecodable = True
            at = error.start - len(state[0]) if isinstance(error, UnicodeDecodeError) else 0
            decoder.setstate(state)
            text += decoder.decode(piece[: max(at, 0)])
        # The last characters wait for the next piece, so that no sequence is missed on a seam.
        end = len(text) if undecodable or not piece else max(len(text) - 3, 0)
        if end < len(text) and text[:end].endswith("\r"):
            end -= 1
        found = wrong.search(text)
        if found:
            yield text[: found.start()]
            _refuse_text(found, encoding, line + line_ends(text[: found.start()]))
        yield text[:end]
        line += line_ends(text[:end])
        text = text[end:]
        if undecodable:
            raise Unreadable(f"holds a byte that is not {encoding}; {_WAY_OUT}", line)


def _refuse_text(found: re.Match[str], encoding: str, line: int) -> NoReturn:
    if found[0] == "\0":
        raise Unreadable(f"holds a NUL character; remove it, or, if it is no {encoding}, {_WAY_OUT}", line)
    raise Unreadable(f"is not UTF-8, and does not look like {encoding} either; {_WAY_OUT}", line)


def line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    """The lines with their ends: \\r\\n, \\n or \\r, and no other."""
    number, rest = 0, ""
    for text in texts:
        for line in io.StringIO(rest + text, newline=""):
            if line.endswith(("\r", "\n")):
                number += 1
                yield line
                rest = ""
            else:
                rest = line
        if len(rest) > ROW_LIMIT:
            raise Unreadable(f"is longer than {ROW_LIMIT:,} characters", number + 1)
    if rest:
        yield rest


def up_to(size: int, texts: Iterator[str]) -> Iterator[str]:
    """So many of them as make up a size, or all."""
    for text in texts:
        yield text
        size -= len(text)
        if size <= 0:
            return
