"""Which field somebody meant who wrote another name. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from leadsquared_async.fields.metadata import LeadField

__all__ = ["Index"]

_PREFIX = re.compile(r"^\s*(?:mx[_\s-]+)+")


class Index:
    """Finds the field that somebody meant."""

    def __init__(self, fields: Iterable[LeadField]) -> None:
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        # The same wrong name comes back with every row of a file.
        self._found: dict[str, str | None] = {}
        listed = [*fields]
        for field in listed:
            self._exact.setdefault(field.schema_name.lower(), field.schema_name)
            self._folded.setdefault(_fold(field.schema_name), field.schema_name)
        for field in listed:
            self._folded.setdefault(_fold(field.display_name), field.schema_name)
        self._folded.pop("", None)

    def nearest(self, name: str) -> str | None:
        if len(name) > 200:
            return None
        if name not in self._found:
            if len(self._found) >= 500:
                self._found.clear()
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> str | None:
        folded = _fold(name)
        if not folded:
            return None
        same = self._exact.get(name.strip().lower()) or self._folded.get(folded)
        if same is not None:
            return same
        if len(folded) >= 4:
            longer = {field for known, field in self._folded.items() if known.startswith(folded)}
            if len(longer) == 1:
                return longer.pop()
        # A typo does not turn mx_Street1 into mx_Street2.
        digits = _digits(folded)
        candidates = [known for known in self._folded if _digits(known) == digits]
        close = difflib.get_close_matches(folded, candidates, n=1, cutoff=0.75)
        return self._folded[close[0]] if close else None


def _fold(name: str) -> str:
    """A name without what people get wrong: case, blanks, punctuation, mx_."""
    return "".join(char for char in _PREFIX.sub("", name.casefold()) if char.isalnum())


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())
