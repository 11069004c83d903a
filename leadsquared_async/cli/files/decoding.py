"""The encoding of a file: UTF-8, what its byte order mark says, or what the user says; never a guess."""

from __future__ import annotations

import codecs
import io
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.cli.files.rows import ROW_LIMIT, Unreadable

__all__ = ["Candidate", "Undecodable", "encoding_of", "lines_of"]


# The marks of UTF-32 come first: one begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_NO_TEXT = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old format (.xls): save it as .xlsx or as CSV UTF-8"),
    (b"\x1f\x8b", "compressed: pass the output of `gunzip -c FILE`, with - as the file"),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An encoding that a file may have, and the characters beyond ASCII that it has then, to judge by."""

    encoding: str
    characters: str = field(repr=False)


class Undecodable(Unreadable):
    """The file is not UTF-8, and has no byte order mark.

    Attributes:
        candidates: the most likely encodings, the likeliest first.
    """

    def __init__(self, line: int, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        names = [f"--encoding {candidate.encoding}" for candidate in candidates] or ["its own --encoding"]
        super().__init__(
            f"the file is not UTF-8 from here on: pass {' or '.join(names)}, or save it as UTF-8", line
        )


def encoding_of(beginning: bytes, given: str | None) -> str:
    """The encoding, as Python names it.

    Args:
        beginning: of the file.
        given: by the user; None if nothing was given.

    Raises:
        Unreadable: the file is no text, or Python does not know the encoding, or the mark says another.
    """
    for mark, what in _NO_TEXT:
        if beginning.startswith(mark):
            raise Unreadable(f"the file is {what}")
    name = _codec(given) if given else None
    for mark, marked in _MARKS:
        if beginning.startswith(mark):
            if name is not None and not name.startswith(marked.removesuffix("-sig")):
                raise Unreadable(
                    f"the file begins with the mark of {marked.removesuffix('-sig')}: leave out --encoding"
                )
            return marked
    if name in {"utf-16", "utf-32"}:
        raise Unreadable(f"the file has no byte order mark: pass --encoding {name}-le or {name}-be")
    return name or "utf-8"


def _codec(name: str) -> str:
    try:
        codecs.getincrementaldecoder(name)
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError, TypeError):
        raise Unreadable(
            "--encoding is unknown to Python; examples are utf-8, cp1252 and utf-16-le"
        ) from None


def lines_of(stream: io.BufferedReader[Any], encoding: str, *, is_given: bool) -> Generator[str]:
    """The lines of a file with their ends, which are \\r\\n, \\n or \\r.

    Args:
        stream: the file.
        encoding: as `encoding_of` says.
        is_given: whether the user has named it.

    Raises:
        Undecodable: it is not UTF-8, and no encoding was given.
        Unreadable: a byte does not belong to the encoding, or there is a NUL character, or a line has no end.
    """
    number = 0
    text = io.TextIOWrapper(stream, encoding, newline="")
    try:
        while line := text.readline(ROW_LIMIT):
            number += 1
            if "\0" in line:
                if not is_given and line.count("\0") * 3 > len(line):
                    raise Undecodable(number, likely_encodings(line.encode(encoding)))
                raise Unreadable(
                    f"holds a NUL character: remove it, or, if the file is not {encoding}, {_OTHER}", number
                )
            if len(line) == ROW_LIMIT:
                raise Unreadable(f"is longer than {ROW_LIMIT:,} characters", number)
            yield line
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(encoding, errors="ignore")
        line_number = number + 1 + line_ends(before)
        if is_given:
            raise Unreadable(f"holds a byte that is not {encoding}: {_OTHER}", line_number) from None
        raise Undecodable(line_number, likely_encodings(error.object)) from None
    finally:
        text.detach()


_OTHER = "pass another --encoding, or save the file as UTF-8"


def line_ends(text: str) -> int:
    """How many lines end in a text: with \\r\\n, \\n or \\r."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def likely_encodings(sample: bytes) -> list[Candidate]:
    """The most likely encodings of what is not UTF-8, at most three that differ in what they make of it."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 - slow to import, and seldom needed

    zeros = [sample[start:2000:2].count(0) for start in (0, 1)]
    if any(zeros):
        return [Candidate("utf-16-le" if zeros[1] >= zeros[0] else "utf-16-be", "")]
    matches = list(from_bytes(sample, cp_isolation=list(_SUGGESTED)))
    names = {
        name for match in matches if match.chaos <= matches[0].chaos for name in match.could_be_from_charset
    }
    found: dict[str, Candidate] = {}
    for name in _SUGGESTED:
        if name in names:
            characters = _beyond_ascii(sample.decode(name, errors="ignore"))
            found.setdefault(characters, Candidate(name, characters))
    return list(found.values())[:3]


def _beyond_ascii(text: str) -> str:
    found = dict.fromkeys(character for character in text if character > "\x7f" and character.isprintable())
    return "".join(found)[:40]


# What Excel and other exports write where it is not UTF-8, the most frequent first.
_SUGGESTED = (
    "cp1252", "cp1250", "cp1251", "cp1254", "cp1253", "cp1256", "cp1255", "cp1257", "cp1258", "cp874",
    "gb18030", "cp932", "big5", "euc_kr", "mac_roman", "cp850",
)  # fmt: skip
