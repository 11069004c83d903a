"""Any file is read correctly or refused, without a wrong value or a traceback."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from leadsquared_async.cli.files.cells import bare_text
from leadsquared_async.cli.files.csv_rows import DELIMITERS
from leadsquared_async.cli.files.headings import plain_heading
from leadsquared_async.cli.files.leads import Leads
from leadsquared_async.cli.files.mapping import LeadMapping, MappingError
from leadsquared_async.cli.files.rows import Unreadable
from tests.cli.files.reading import opened, table_of

ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"),
    *("cp1252", "cp1250", "cp1251", "latin-1", "gb18030", "cp932", "mac_roman"),
)
WORDS = st.sampled_from(
    [
        *(
            "Bret",
            "José",
            "Müller",
            "Łukasz",
            "Иван",
            "李明",
            "क्ष",
            "a b",
            "x;y",
            "x|y",
            "x\ty",
            "x,y",
            '5" pipe',
        ),
        *(
            "two\nlines",
            "two\r\nlines",
            '"',
            '""',
            "'",
            " x",
            "x ",
            "=1+1",
            "#N/A",
            "1e5",
            "9.98E+09",
            "NULL",
        ),
        *(
            "+91-9988776655",
            "98000 31676",
            "bret@example.com",
            "1,5",
            "-",
            "\u00a0",
            "\u200bx",
            "sep=;",
            "a\x0bb",
        ),
        *("\u2028", "\x85", "{", '["', "O\u2019Brien", "€5", "", "", "", "", "1", "2"),
    ]
)
CELLS = WORDS | st.text(max_size=8)
HEADINGS = st.sampled_from(
    [
        "FirstName",
        "EmailAddress",
        "Phone",
        "First Name",
        "E-mail",
        "A;B",
        "A,B",
        "Größe",
        "1",
        "",
        "Phone",
        "x\ny",
    ]
) | st.text(max_size=6)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[str], list[list[str]], bytes, dict[str, Any]]:
    """The headings and rows of a file, its bytes, and the options that read it."""
    headings = draw(st.lists(HEADINGS, min_size=1, max_size=5))
    assume(any(map(plain_heading, headings)))  # the account's fields show a file without headings
    width = len(headings)
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6))
    # A column alone is divided by nothing.
    ragged = st.lists(st.integers(0, max(0, len(rows) - 1)), max_size=2)
    for index in draw(ragged) if rows and width > 1 else ():
        change = draw(st.integers(-2, 2))
        rows[index] = (
            rows[index][:change] if change < 0 else [*rows[index], *draw(st.lists(CELLS, max_size=change))]
        )
    encoding = draw(st.sampled_from(ENCODINGS))
    dialect = {
        "delimiter": draw(st.sampled_from(DELIMITERS)),
        "lineterminator": draw(st.sampled_from(["\r\n", "\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    }
    text = io.StringIO(newline="")
    if all(is_a_name(heading, headings) for heading in headings):  # else a column is named by its position
        text.write(draw(st.sampled_from(["", "", "", "Leads of June\n", "Leads; of June\n\n", "\n"])))
    writer = csv.writer(text, **dialect)
    writer.writerow(headings)
    writer.writerows(rows)
    written = text.getvalue()
    if dialect["lineterminator"] != "\r\n":  # then `csv.writer` leaves the other of the two without quotes
        assume(not {"\r", "\n"} & set("".join(cell for row in (headings, *rows) for cell in row)))
    damaged = draw(st.sampled_from(["no", "no", "no", "cut", "quote", "nul"]))
    if damaged == "cut":
        written = written[: draw(st.integers(0, len(written)))]
    elif damaged != "no":
        at = draw(st.integers(0, len(written)))
        written = written[:at] + ('"' if damaged == "quote" else "\0") + written[at:]
    try:
        content = written.encode(encoding)
    except UnicodeEncodeError:
        assume(False)
        raise
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["encoding"] = encoding
    if draw(st.booleans()):
        options["delimiter"] = dialect["delimiter"]
    options["fill_short_rows"] = draw(st.booleans())
    if "encoding" not in options and not encoding.startswith("utf-8"):
        with suppress(UnicodeDecodeError):  # bytes that are another text in UTF-8 cannot be told apart
            assume(content.decode("utf-8-sig") == written)
    return headings, rows, content, options | {"is_damaged": damaged != "no"}


def is_a_name(heading: str, headings: list[str]) -> bool:
    """Whether a column can be named by its heading."""
    plain = plain_heading(heading)
    return [*map(plain_heading, headings)].count(plain) == 1 and not plain.isdigit() and plain != ""


def leads_of(
    content: bytes, headings: list[str], options: dict[str, Any]
) -> list[tuple[dict[str, Any], bool]] | None:
    """The lead of each row, and whether the row is refused; None if the file is refused."""
    plain = [plain_heading(heading) for heading in headings]
    columns = {
        heading if is_a_name(heading, headings) else str(position): f"mx_{position}"
        for position, heading in enumerate(plain, start=1)
        if heading
    }
    try:
        with table_of(content, format="csv", **options) as table:
            leads = Leads(LeadMapping(columns=columns), table.names)
            made = [leads.make(row) for row in table]
    except (Unreadable, MappingError):
        return None
    finally:
        opened.clear()
    return [(each.lead, bool(each.flaws)) for each in made]


def check(file: tuple[list[str], list[list[str]], bytes, dict[str, Any]]) -> None:
    headings, rows, content, options = file
    is_damaged = options.pop("is_damaged")
    found = leads_of(content, headings, options)
    if found is None:
        return
    wanted = [
        {f"mx_{position}": bare_text(cell) for position, cell in enumerate(row, start=1) if bare_text(cell)}
        for row in rows
        if any(cell.strip() for cell in row)
    ]
    sent = [lead for lead, is_refused in found if not is_refused]
    if is_damaged:
        # Where a quote, a cut or a NUL has changed the text itself, only no traceback can be asked for.
        return
    assert len(found) == len(wanted)
    for (lead, is_refused), row in zip(found, wanted, strict=True):
        assert is_refused or lead == row
    assert len(sent) <= len(wanted)


FAST = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
SLOW = settings(max_examples=50_000, deadline=None, suppress_health_check=list(HealthCheck))
test_200_files = FAST(given(files())(check))
test_50_000_files = pytest.mark.slow(SLOW(given(files())(check)))
