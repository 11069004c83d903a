"""Tables as `csv.writer` writes them, for properties."""

from __future__ import annotations

import csv
import io
from itertools import chain
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from leadsquared_async.cli.files.csv_rows import DELIMITERS
from leadsquared_async.cli.files.headings import plain_heading

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff")


CELLS = st.one_of(
    st.text(CHARACTERS, max_size=12),
    st.text("ab1 \t,;|\"'\r\n=+-@é\u00a0\u2028", max_size=12),
)


MARKED = ("utf-8", "utf-8-sig", "utf-16")


SINGLE_BYTE = ("cp1252", "latin-1", "cp1251", "cp437")


@st.composite
def tables(draw: st.DrawFn, least: int = 1) -> tuple[list[str], list[list[str]]]:
    headings = st.text(CHARACTERS, min_size=1, max_size=8).map(plain_heading).filter(bool)
    header = draw(st.lists(headings, min_size=least, max_size=5, unique=True))
    row = st.lists(CELLS, min_size=len(header), max_size=len(header))
    return header, draw(st.lists(row, max_size=6))


def written(table: tuple[list[str], list[list[str]]], encoding: str, **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **dialect)
    if dialect["lineterminator"] != "\r\n":  # then `csv.writer` leaves the other of the two without quotes
        assume(not {"\r", "\n"} & set("".join(chain(table[0], *table[1]))))
    writer.writerow(table[0])
    writer.writerows(table[1])
    try:
        return text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        assume(False)
        raise


def as_rows(table: tuple[list[str], list[list[str]]]) -> list[dict[str, str]]:
    header, rows = table
    return [dict(zip(header, row, strict=True)) for row in rows if any(cell.strip() for cell in row)]


dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(DELIMITERS),
        "lineterminator": st.sampled_from(["\r\n", "\n", "\r"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }
)


def is_quoted_late(cell: str) -> bool:
    return cell[:1].isspace() and cell.strip()[:1] == '"'
