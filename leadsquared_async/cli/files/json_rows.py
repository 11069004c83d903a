"""Stream rows from JSON lines or a JSON array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NoReturn, TypeGuard

from leadsquared_async.cli.files.decoding import line_ends
from leadsquared_async.cli.files.rows import ROW_LIMIT, Row, Unreadable

__all__ = ["json_array", "json_lines", "json_of"]


class _Flaw(ValueError):
    """JSON that Python would accept is refused; the message repeats nothing of it."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Flaw("an object has the same key twice; remove one")
    return found


def _no_number(_: str) -> NoReturn:
    raise _Flaw("contains NaN or Infinity, which is not JSON; write null")


_JSON = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_float=Decimal, parse_constant=_no_number)
_BLANKS = re.compile(r"[ \t\r\n]*")


def _object(text: str, at: int) -> tuple[Mapping[str, Any], int]:
    """Parse the object that starts there; also return its end."""
    try:
        value, end = _JSON.raw_decode(text, at)
    except (json.JSONDecodeError, _Flaw):
        raise
    except (ValueError, ArithmeticError, RecursionError):
        raise _Flaw("contains a number that is too long, or is nested too deeply") from None
    if not is_object(value):
        raise _Flaw('contains a value that is not an object; write each row as one, such as {"Phone": "..."}')
    _check(value, levels=16)
    return value, end


def _check(value: Any, levels: int) -> None:
    """Raise for a value that could not be written to the rejects."""
    if not levels:
        raise _Flaw("is nested too deeply")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Flaw("contains half of a surrogate pair, which is not text") from None
    elif is_object(value):
        _check([*value, *value.values()], levels)
    elif is_array(value):
        for inner in value:
            _check(inner, levels - 1)


def json_lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            cells, end = _object(text, 0)
        except json.JSONDecodeError:
            raise Unreadable(
                "not a complete JSON object; write one object per line, or all of them in one array",
                number,
            ) from None
        except _Flaw as flaw:
            raise Unreadable(str(flaw), number) from None
        if end != len(text):
            raise Unreadable("text follows the JSON object; write one object per line", number)
        yield Row(number, tuple(cells), tuple(cells.values()))


def json_array(texts: Iterable[str]) -> Iterator[Row]:
    text = _Window(texts)
    text.skip("[")
    ended = text.peek() == "]"
    if ended:
        text.skip("]")
    while not ended:
        text.peek()  # moves to the object's line
        line = text.line
        cells = text.take_object()
        yield Row(line, tuple(cells), tuple(cells.values()))
        ended = text.peek() != ","
        text.skip("]" if ended else ",")
    if text.peek():
        raise Unreadable("text follows the end of the array; remove it", text.line)


class _Window:
    """The part of a JSON text in memory, and its line in the file."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self._text = ""
        self._at = 0
        self.line = 1

    def peek(self) -> str:
        """Skip white space; return the next character, "" at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            assert blanks
            self._pass(blanks.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> None:
        """Skip the next character, which must be this one."""
        if self.peek() != character:
            raise Unreadable(f"JSON needs {character} here; is the file incomplete?", self.line)
        self._at += 1

    def take_object(self) -> Mapping[str, Any]:
        """Return the next object, and skip it."""
        while True:
            try:
                cells, end = _object(self._text, self._at)
            except json.JSONDecodeError as error:
                line = self.line + line_ends(self._text[self._at : error.pos])
            except _Flaw as flaw:
                raise Unreadable(str(flaw), self.line) from None
            else:
                self._pass(end)
                return cells
            if len(self._text) - self._at > ROW_LIMIT:
                raise Unreadable(f"not JSON, or an object of more than {ROW_LIMIT:,} characters", line)
            if not self._more():
                raise Unreadable("not JSON from here on; is the file incomplete?", line)

    def _pass(self, end: int) -> None:
        self.line += line_ends(self._text[self._at : end])
        self._at = end

    def _more(self) -> bool:
        text = next(self._texts, None)
        self._text = self._text[self._at :] + (text or "")
        self._at = 0
        return text is not None


def json_of(value: object) -> str:
    """Write JSON like `json.dumps`, and a Decimal with all of its digits."""
    if isinstance(value, Decimal):
        return str(value)
    if is_object(value):
        return "{" + ", ".join(f"{json_of(key)}: {json_of(inner)}" for key, inner in value.items()) + "}"
    if is_array(value):
        return "[" + ", ".join(map(json_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
