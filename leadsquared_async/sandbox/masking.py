"""Masks the keys of a request wherever they stand in it or in its reply.

It masks the sandbox's keys, and each value that a request has in the place of a key, because that may be a
real key sent by mistake.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import cast
from urllib.parse import parse_qsl

from leadsquared_async.sandbox.answers import Request
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

MASK = "•••"
KEY_PARAMETERS = frozenset({"accesskey", "secretkey", "x-api-key", "x-lsq-accesskey", "x-lsq-secretkey"})
KEY_HEADERS = KEY_PARAMETERS | {"authorization", "proxy-authorization", "cookie"}
SHORTEST_KEY = 8
"""Characters; shorter values are masked in the place of a key, but not elsewhere."""


class Masker:
    """Masks the keys of `request`."""

    __slots__ = ("_keys", "_request")

    def __init__(self, request: Request) -> None:
        self._request = request
        query = parse_qsl(request.query, keep_blank_values=True)
        given = [value for name, value in query if name.lower() in KEY_PARAMETERS]
        given += [value for name, value in request.headers.items() if name in KEY_HEADERS]
        others = {key for key in given if len(key) >= SHORTEST_KEY and key not in _SANDBOX_KEYS}
        self._keys = _any_of({*_SANDBOX_KEYS, *others}) if others else _ANY_SANDBOX_KEY

    def query(self) -> list[tuple[str, str]]:
        """The decoded parameters of the query."""
        return self._pairs(parse_qsl(self._request.query, keep_blank_values=True), KEY_PARAMETERS)

    def values(self, values: Mapping[str, str]) -> dict[str, str]:
        """Values by name, such as the attributes of a lead or the headers of the reply."""
        return {self.text(name): self.text(value) for name, value in values.items()}

    def headers(self) -> list[tuple[str, str]]:
        """The headers of the request."""
        return self._pairs(self._request.headers.items(), KEY_HEADERS)

    def text(self, text: str) -> str:
        """Any text of the request or of its reply."""
        return self._keys.sub(MASK, text)

    def body(self, body: bytes) -> str:
        """A body; JSON is indented, other text and a JSON that was cut stay as they are."""
        text = body.decode("utf-8", "replace")
        try:
            content = self._value(json.loads(text))
            return json.dumps(content, indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return self.text(text)

    def _pairs(self, pairs: Iterable[tuple[str, str]], keys: frozenset[str]) -> list[tuple[str, str]]:
        return [
            (self.text(name), MASK if name.lower() in keys and value else self.text(value))
            for name, value in pairs
        ]

    def _value(self, value: object) -> object:
        """A decoded JSON value; its strings are unescaped, so that no escape hides a key.

        What stands under the name of a key is one, sent in the body instead of the query.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(entry) for entry in cast("list[object]", value)]
        if isinstance(value, dict):
            entries = cast("dict[str, object]", value)
            return {
                self.text(name): MASK if name.lower() in KEY_PARAMETERS and entry else self._value(entry)
                for name, entry in entries.items()
            }
        return value


def _pattern(key: str) -> str:
    """A pattern for a key as it is, percent-encoded, or with JSON's escapes."""
    return "".join(
        char
        if char.isascii() and char.isalnum()
        else f"(?:{re.escape(char)}|{_percent(char)}|\\\\+u{ord(char):04x})"
        for char in key
    )


def _percent(char: str) -> str:
    return "".join(f"%(?i:{byte:02x})" for byte in char.encode("utf-8", "replace"))


def _any_of(keys: Collection[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(_pattern, sorted(keys, key=len, reverse=True))))


_SANDBOX_KEYS = frozenset({ACCESS_KEY, SECRET_KEY, API_KEY})
_ANY_SANDBOX_KEY = _any_of(_SANDBOX_KEYS)

NO_REQUEST = Masker(Request("GET", "/"))
"""Masks the keys of the sandbox only."""
