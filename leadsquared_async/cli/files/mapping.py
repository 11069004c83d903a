"""The options that say how the rows of a file become leads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files.cells import text_flaw
from leadsquared_async.cli.files.headings import name_flaw, plain_heading, shown_heading
from leadsquared_async.cli.options import COLUMNS, LEADS, VALUES, option

__all__ = ["PHONE_NUMBERS", "LeadMapping", "MappingError", "check_options"]

PHONE_NUMBERS = frozenset({"Phone", "Mobile"})


class MappingError(CommandFailedError):
    """An option is invalid, or a column is neither mapped nor ignored; one line for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadMapping:
    """How rows become leads. A column is named by its heading in its plain form, or by its position, from 1.

    Once `columns` or `key_column` names a part of an object in JSON, such as address.city, each part of that
    object is a column. A column whose heading is a schema name becomes that attribute; any other must be
    mapped or ignored. A common heading that is not LeadSquared's name, such as "Email", is refused even if it
    could be a schema name; mapping it to itself allows it. Dates, verbatim and values may also name a schema
    name.
    """

    columns: Annotated[
        Mapping[str, str], option("--map COLUMN=NAME", "Send a column as this schema name.", COLUMNS)
    ] = field(default_factory=dict[str, str])
    ignored: Annotated[Collection[str], option("--ignore COLUMN", "Do not send this column.", COLUMNS)] = ()
    constants: Annotated[
        Mapping[str, str],
        option("--set NAME=VALUE", "A value for every lead, such as Source=Website.", COLUMNS),
    ] = field(default_factory=dict[str, str])
    key_column: Annotated[
        str | None,
        option("--key COLUMN", "The column with your own id; by default its values identify a row.", COLUMNS),
    ] = None
    dates: Annotated[Collection[str], option("--date COLUMN", "A column with dates or times.", VALUES)] = ()
    date_format: Annotated[
        str | None,
        option(
            "--date-format FORMAT",
            "Their format, such as %d/%m/%Y %H:%M; by default ISO 8601.",
            VALUES,
        ),
    ] = None
    timezone: Annotated[
        str | None,
        option("--timezone ZONE", "The zone of times without an offset, such as Asia/Kolkata.", VALUES),
    ] = None
    phone_region: Annotated[
        str | None,
        option(
            "--phone COUNTRY",
            "Send phone numbers in LeadSquared's spelling; COUNTRY, such as IN, is for local ones.",
            VALUES,
        ),
    ] = None
    empty: Annotated[
        Collection[str], option("--empty TEXT", "Treat a cell with this text as empty, such as NULL.", VALUES)
    ] = ()
    values: Annotated[
        Collection[str], option("--value COLUMN:WRONG=RIGHT", "Send one value as another.", VALUES)
    ] = ()
    verbatim: Annotated[
        Collection[str],
        option(
            "--verbatim COLUMN",
            "Send this column unchanged, even if a value looks damaged (12E+3, #N/A).",
            VALUES,
        ),
    ] = ()
    search_by: Annotated[
        str | None, option("--search-by NAME", "The attribute by which LeadSquared finds a lead.", LEADS)
    ] = None
    partial: Annotated[
        bool, option("--partial", "The leads exist already: mandatory fields may be missing.", LEADS)
    ] = False


def check_options(mapping: LeadMapping) -> None:
    """Raise for an option that is invalid whatever the file has."""
    named = Counter([*map(plain_heading, mapping.columns), *set(map(plain_heading, mapping.ignored))])
    for column, count in named.items():
        if count > 1:
            raise MappingError(f'"{shown_heading(column)}" is named twice in --map and --ignore: remove one')
    for column, attribute in mapping.columns.items():
        if flaw := name_flaw(attribute):
            raise MappingError(f'--map "{shown_heading(column)}=...": the name after = {flaw}')
    for attribute, value in mapping.constants.items():
        if flaw := name_flaw(attribute):
            raise MappingError(f"--set NAME=VALUE: the name {flaw}")
        if not value.strip():
            raise MappingError(
                f"--set {attribute}: the value is empty, which would clear the field of every lead"
            )
        if flaw := text_flaw(value):
            raise MappingError(f"--set {attribute}: {flaw}")
    for name in mapping.verbatim:
        if mapping.columns.get(name, name) in PHONE_NUMBERS:
            raise MappingError(
                f'--verbatim "{shown_heading(name)}": Phone and Mobile are always checked, since nobody can '
                "call a damaged number"
            )
    if not mapping.dates and mapping.date_format:
        raise MappingError("--date-format needs columns with dates: name them with --date")
