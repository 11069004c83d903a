"""Leads for tests, from the cells of a row."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta, timezone
from typing import Any

from leadsquared_async.cli.files.leads import Leads, Made
from leadsquared_async.cli.files.mapping import LeadMapping, MappingError
from leadsquared_async.cli.files.rows import Flaw, Row

SECRET = "zq-private-4711"


KOLKATA = timezone(timedelta(hours=5, minutes=30))


def made(cells: dict[str, Any], sent: dict[str, str | None] | None = None, **options: Any) -> Made:
    """Make the lead of a row of JSON."""
    leads = Leads(LeadMapping(**options), None, None, sent)
    return leads.make(Row(7, tuple(cells), tuple(cells.values())))


def lead_of(cells: dict[str, Any], **options: Any) -> dict[str, Any]:
    found = made(cells, **options)
    assert not found.flaws
    return found.lead


def refusal(cells: dict[str, Any], **options: Any) -> Flaw:
    (flaw,) = made(cells, **options).flaws
    return flaw


def problems(headings: Iterable[str], /, fields: dict[str, str] | None = None, **options: Any) -> list[str]:
    try:
        Leads(LeadMapping(**options), tuple(headings), fields)
    except MappingError as error:
        return str(error).splitlines()
    return []
