"""Find the attribute of each column, by the options of a run. Pure.

No mapping is guessed. Messages show no heading that looks like a value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.cli.files.cells import bare_text
from leadsquared_async.cli.files.headings import (
    letters,
    looks_like_a_value,
    name_flaw,
    place_of,
    plain_heading,
    quoted,
    shown_heading,
    suggestions,
)
from leadsquared_async.cli.files.mapping import PHONE_NUMBERS, LeadMapping, MappingError
from leadsquared_async.cli.files.rows import REASON, Flaw

__all__ = ["Column", "Columns"]

NAMED = 30
"""Headings that a message lists at most."""
SUGGESTED = "these headings are not schema names: add the options that are right, and --ignore for the rest"
_NO_HEADINGS = "its heading looks like a value: the first line must have the headings"
_PHONE_NAME = re.compile(r"phone|mobile|whatsapp", re.IGNORECASE)


@dataclass(slots=True)
class Column:
    """A column of the file, and the attribute that its cells become, if any.

    Messages show its position if its heading is empty or looks like a value. The cells of an unnamed column
    must be empty. `values` replace cells. `known` caches values, because many columns repeat a few.
    """

    shown: str
    attribute: str | None = None
    is_unnamed: bool = False
    is_date: bool = False
    is_verbatim: bool = False
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    known: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    is_phone: bool = field(init=False)

    def __post_init__(self) -> None:
        name = self.attribute or ""
        self.is_phone = name in PHONE_NUMBERS or (not self.is_verbatim and bool(_PHONE_NAME.search(name)))


class Columns:
    """Finds the attribute of each column. `fields` are the account's display names, by schema name."""

    def __init__(self, mapping: LeadMapping, fields: Mapping[str, str]) -> None:
        self._mapping = mapping
        self._suggested = suggestions(fields)
        self._attributes = {plain_heading(name): attribute for name, attribute in mapping.columns.items()}
        self._found: dict[tuple[str, ...], list[Column | Flaw]] = {}

    def of(self, names: tuple[str, ...]) -> list[Column | Flaw]:
        """The columns with these headings, or what is wrong with them; cached, since rows share them."""
        found = self._found.get(names)
        if found is None:
            if len(self._found) >= 100:  # JSON whose names keep changing
                self._found.clear()
            plain = tuple(map(plain_heading, names))
            counts = Counter(plain)
            found = [self._column(plain, position, counts[name]) for position, name in enumerate(plain)]
            self._found[names] = found
            seen = {*self._mapping.constants}
            for position, column in enumerate(found):
                if isinstance(column, Column) and column.attribute is not None:
                    if column.attribute in seen:
                        message = f"{column.attribute} is set twice: leave one of them out"
                        found[position] = Flaw(column.shown, message)
                    seen.add(column.attribute)
        return found

    def check_table(self, names: tuple[str, ...]) -> None:
        """Raise unless every column is mapped or ignored, and every option names a column."""
        mapping, plan = self._mapping, self.of(names)
        flaws = [(name, column) for name, column in zip(names, plan, strict=True) if isinstance(column, Flaw)]
        options = [
            f"--map {quoted(f'{shown_heading(name)}={self._suggested[letters(name)]}')}"
            for name, flaw in flaws
            if flaw.kind == "heading"
        ]
        problems = [SUGGESTED, *(f"{option} \\" for option in options[:-1]), options[-1]] if options else []
        problems += [str(flaw) for _, flaw in flaws if flaw.kind != "heading"]
        attributes = {column.attribute for column in plan if isinstance(column, Column)}
        named = [
            ("--map", self._attributes),
            ("--ignore", mapping.ignored),
            ("--key", () if mapping.key_column is None else (mapping.key_column,)),
            ("--date", mapping.dates),
            ("--verbatim", mapping.verbatim),
        ]
        unknown = [
            f'{option} "{shown_heading(name)}": no column has that heading'
            for option, columns in named
            for name in columns
            if place_of(names, plain_heading(name)) is None
            and (option in {"--map", "--ignore", "--key"} or name not in attributes)
        ]
        if unknown:
            shown = ", ".join(f'"{shown_heading(name, place)}"' for place, name in enumerate(names[:NAMED]))
            problems += [*unknown, f"the headings are {shown}" + (", ..." if len(names) > NAMED else "")]
        used = sum(len(column.values) for column in plan if isinstance(column, Column))
        if used < len(mapping.values):
            problems.append('--value must be "Column:Wrong=Right", with a column of the file')
        search_by = "ProspectID" if mapping.search_by == "ProspectId" else mapping.search_by
        if search_by is not None and search_by not in attributes | {*mapping.constants}:
            problems.append(f"--search-by {shown_heading(search_by)}: no column is mapped to that attribute")
        if problems:
            raise MappingError("\n".join(problems))

    def _column(self, names: tuple[str, ...], position: int, count: int) -> Column | Flaw:
        """The column at a position; `count` columns have its heading."""
        mapping, heading = self._mapping, names[position]
        shown = shown_heading(heading, position)

        def is_here(name: str) -> bool:
            return place_of(names, plain_heading(name)) == position

        def is_named(options: Iterable[str]) -> bool:
            return any(name == attribute or is_here(name) for name in options)

        mapped, is_ignored = list(filter(is_here, self._attributes)), any(map(is_here, mapping.ignored))
        if len(mapped) + is_ignored > 1:
            return Flaw(shown, "is named twice in --map and --ignore: leave one of them out")
        if heading == REASON or is_ignored:
            return Column(shown)
        if mapped:
            if mapped[0] != heading and looks_like_a_value(heading):
                return Flaw(shown, _NO_HEADINGS)
            attribute = self._attributes[mapped[0]]
        elif not heading:
            return Column(shown, is_unnamed=True)
        elif count > 1:
            message = f"several columns have this heading: use position {position + 1} in --map or --ignore"
            return Flaw(shown, message)
        elif flaw := self._heading_flaw(heading):
            return Flaw(shown, flaw, kind="heading" if letters(heading) in self._suggested else "refused")
        else:
            attribute = heading
        values = dict(self._values_of(attribute, is_here))
        return Column(shown, attribute, False, is_named(mapping.dates), is_named(mapping.verbatim), values)

    def _heading_flaw(self, heading: str) -> str | None:
        """Why a heading is not an attribute, and the options that help."""
        if looks_like_a_value(heading):
            return _NO_HEADINGS
        suggested = self._suggested.get(letters(heading))
        flaw = name_flaw(heading)
        if flaw is None and suggested in {None, heading}:
            return None
        flaw = flaw or f"is not LeadSquared's name for {suggested}"
        shown = shown_heading(heading)
        mapped = quoted(f"{shown}={suggested or 'SCHEMA_NAME'}")
        return f"its heading {flaw}: pass --map {mapped} or --ignore {quoted(shown)}"

    def _values_of(self, attribute: str, is_here: Callable[[str], bool]) -> Iterable[tuple[str, str]]:
        for given in self._mapping.values:
            for colon in (match.start() for match in re.finditer(":", given)):
                name, (wrong, equals, right) = given[:colon], given[colon + 1 :].partition("=")
                if equals and (name.strip() == attribute or is_here(name)):
                    yield bare_text(wrong), right
                    break
