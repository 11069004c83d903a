"""Decode a file: as UTF-8, by its byte order mark or by --encoding; never by a guess."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from leadsquared_async.cli.files.rows import ROW_LIMIT, Unreadable

__all__ = ["PIECE", "Candidate", "Undecodable", "encoding_of", "line_ends", "lines_of", "texts_of"]


CANDIDATES = 4
LIKELY = 0.15
"""The most by which a likely encoding's chaos exceeds that of the best."""
PIECE = 65_536
"""Bytes of one read."""
# UTF-32 comes first: one of its marks begins with one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_NO_TEXT = (
    (
        b"\xd0\xcf\x11\xe0",
        "an Excel workbook with a password, or of the old format (.xls): save it as .xlsx or as CSV UTF-8",
    ),
    (b"\x1f\x8b", "compressed: pass the output of `gunzip -c FILE`, with - as the file"),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible encoding, and the non-ASCII characters that it decodes, for the user to judge."""

    encoding: str
    characters: str = field(repr=False)


class Undecodable(Unreadable):
    """The file is not UTF-8, and has no byte order mark; the likeliest candidate comes first."""

    def __init__(self, line: int, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        names = [f"--encoding {candidate.encoding}" for candidate in candidates] or ["--encoding NAME"]
        super().__init__(
            f"the file is not UTF-8 from here on: pass {' or '.join(names)}, or save it as UTF-8", line
        )


def encoding_of(beginning: bytes, given: str | None) -> str:
    """Python's name of a file's encoding, from its first bytes or as given."""
    for mark, what in _NO_TEXT:
        if beginning.startswith(mark):
            raise Unreadable(f"the file is {what}")
    name = _codec(given) if given else ""
    for mark, marked in _MARKS:
        if beginning.startswith(mark):
            if not marked.startswith(name):
                raise Unreadable(f"the file has the byte order mark of {marked}: leave out --encoding")
            return marked
    if name in {"utf-16", "utf-32"}:
        raise Unreadable(f"the file has no byte order mark: pass --encoding {name}-le or {name}-be")
    return name or "utf-8"


def _codec(name: str) -> str:
    found = ""
    with suppress(LookupError, ValueError, TypeError):
        codecs.getincrementaldecoder(name)
        "".encode(name)
        found = codecs.lookup(name).name.removesuffix("-sig")
    if found in {"", "idna", "punycode"}:  # the last two are for host names
        raise Unreadable("--encoding must be a name that Python knows, such as utf-8, cp1252 or utf-16-le")
    return found


def texts_of(pieces: Iterable[bytes], encoding: str, *, is_given: bool) -> Iterator[str]:
    """Decode a file piece by piece, without its byte order mark."""
    decoder = codecs.getincrementaldecoder(encoding)()
    ends, last, is_first = 0, "", True

    def line_after(text: str) -> int:
        return ends + line_ends(last + text) - line_ends(last) + 1

    for piece in chain(pieces, (b"",)):
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, errors="ignore")
            if is_given:
                raise Unreadable(
                    f"contains a byte that is not {encoding}: {_OTHER}", line_after(before)
                ) from None
            raise Undecodable(line_after(before), likely_encodings(error.object)) from None
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
        if (at := text.find("\0")) >= 0:
            if not is_given and text.count("\0") * 3 > len(text):
                raise Undecodable(line_after(text[:at]), likely_encodings(text.encode(encoding)))
            raise Unreadable(f"contains a NUL character: remove it, or {_OTHER}", line_after(text[:at]))
        yield text
        ends = line_after(text) - 1
        last = text[-1:] or last


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    """Split a text into lines with their ends: \\r\\n, \\n or \\r."""
    number, rest = 0, ""
    for text in texts:
        lines = list(io.StringIO(rest + text, newline=""))
        # The last line may continue in the next text, even if it ends in \r.
        rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        yield from lines
        number += len(lines)
        if len(rest) > ROW_LIMIT:
            raise Unreadable(f"is longer than {ROW_LIMIT:,} characters", number + 1)
    if rest:
        yield rest


_OTHER = "pass another --encoding, or save the file as UTF-8"


def line_ends(text: str) -> int:
    """Count the line ends of a text: \\r\\n, \\n or \\r."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def likely_encodings(sample: bytes) -> list[Candidate]:
    """The likeliest encodings of bytes that are not UTF-8: at most four, which decode to different texts."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 - slow to import, and rarely needed

    zeros = [sample[start:2000:2].count(0) for start in (0, 1)]
    if any(zeros):
        return [Candidate("utf-16-le" if zeros[1] >= zeros[0] else "utf-16-be", "")]
    matches = list(from_bytes(sample, cp_isolation=list(_SUGGESTED)))
    best = min((match.chaos for match in matches), default=0.0)
    texts = {name: _beyond_ascii(sample, name) for name in _SUGGESTED}
    ranks = {
        name: (round(match.chaos, 1), _signs(texts[name]), -round(match.coherence, 1), _SUGGESTED.index(name))
        for match in matches
        for name in match.could_be_from_charset
        if match.chaos <= best + LIKELY and name in _SUGGESTED
    }
    found: dict[str, Candidate] = {}
    for name in sorted(ranks, key=ranks.__getitem__):
        found.setdefault(texts[name], Candidate(name, texts[name]))
    return list(found.values())[:CANDIDATES]


def _signs(text: str) -> float:
    """The share of symbols, which are rare in names and places; rounded to halves."""
    signs = sum(not (character.isalpha() or character in _USUAL_SIGNS) for character in text)
    return round(2 * signs / (len(text) or 1)) / 2


_USUAL_SIGNS = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u20ac"


def _beyond_ascii(sample: bytes, encoding: str) -> str:
    text = sample.decode(encoding, errors="ignore")
    found = dict.fromkeys(character for character in text if character > "\x7f" and character.isprintable())
    return "".join(found)[:40]


# The encodings of exports by Excel and others, the most frequent first.
_SUGGESTED = (
    "cp1252", "cp1250", "cp1251", "cp1254", "cp1253", "cp1256", "cp1255", "cp1257", "cp1258", "cp874",
    "gb18030", "cp932", "big5", "euc_kr", "mac_roman", "cp850",
)  # fmt: skip
