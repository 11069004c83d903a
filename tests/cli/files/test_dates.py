"""Dates and times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NoReturn
from zoneinfo import ZoneInfoNotFoundError

import pytest

from leadsquared_async.cli.files import cells
from leadsquared_async.cli.files.leads import Leads
from leadsquared_async.cli.files.mapping import LeadMapping, MappingError
from leadsquared_async.encoding import encode
from leadsquared_async.submissions import capture_lead
from tests.cli.files.leads import KOLKATA, lead_of, refusal


def test_a_zone_where_python_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time zone data, the error names the package to install."""
    monkeypatch.setattr(cells, "ZoneInfo", no_zones)
    with pytest.raises(MappingError, match=r"Python has no time zone data: pip install tzdata"):
        Leads(LeadMapping(timezone="Asia/Kolkata"), None)


def test_an_unknown_code_is_named_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """strftime raises there, where it gives another text elsewhere."""

    class Windows(datetime):
        def strftime(self, _format: str) -> str:
            raise ValueError("Invalid format string")

    monkeypatch.setattr(cells, "datetime", Windows)
    with pytest.raises(ValueError, match="strptime codes"):
        cells.Dates("%-d/%m/%Y")


def no_zones(key: str) -> NoReturn:
    raise ZoneInfoNotFoundError(key)


@pytest.mark.parametrize(
    ("cell", "options", "value"),
    [
        ("2024-02-29", {}, date(2024, 2, 29)),
        ("20240229", {}, date(2024, 2, 29)),
        (" 2024-02-29\u00a0", {"timezone": "America/New_York"}, date(2024, 2, 29)),
        ("2024-02-29T13:05:07Z", {}, datetime(2024, 2, 29, 13, 5, 7, tzinfo=UTC)),
        ("2024-02-29 13:05+05:30", {}, datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA)),
        ("2024-02-29 13:05+00:00", {"timezone": "Asia/Kolkata"}, datetime(2024, 2, 29, 13, 5, tzinfo=UTC)),
        ("2024-02-29 13:05", {"timezone": "Asia/Kolkata"}, datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA)),
        ("2024-02-29 00:00:00", {"timezone": "Asia/Kolkata"}, datetime(2024, 2, 29, tzinfo=KOLKATA)),
        ("29/02/2024", {"date_format": "%d/%m/%Y"}, date(2024, 2, 29)),
        ("29 Feb 24", {"date_format": "%d %b %y"}, date(2024, 2, 29)),
        (
            "29.02.2024 01:05 PM",
            {"date_format": "%d.%m.%Y %I:%M %p", "timezone": "Asia/Kolkata"},
            datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA),
        ),
        (
            "29/02/2024 13:05 +0530",
            {"date_format": "%d/%m/%Y %H:%M %z"},
            datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA),
        ),
        (
            "29/02/2024 00:00",
            {"date_format": "%d/%m/%Y %H:%M", "timezone": "Asia/Kolkata"},
            datetime(2024, 2, 29, tzinfo=KOLKATA),
        ),
    ],
)
def test_a_date(cell: str, options: dict[str, str], value: date) -> None:
    """A time gets its zone from its offset or the option; a date stays a date."""
    lead = lead_of({"Joined": cell, "mx_Text": cell}, dates=["Joined"], **options)
    assert lead == {"Joined": value, "mx_Text": cell.strip()}
    assert type(lead["Joined"]) is type(value)
    assert lead_of({"Joined": cell}, columns={"Joined": "mx_J"}, dates=["mx_J"], **options) == {"mx_J": value}
    encode(capture_lead(lead))


@pytest.mark.parametrize(
    ("cell", "options", "said"),
    [
        ("2024-02-29 13:05", {}, "--timezone"),
        ("29/02/2024", {}, "pass --date-format %d/%m/%Y"),
        ("2023-02-29", {}, "not a date such as 2024-02-29"),
        ("45321", {}, "is a number, as spreadsheets store dates: format the column as a date"),
        ("45321.5", {"date_format": "%d/%m/%Y"}, "is a number, as spreadsheets store dates"),
        ("123456", {"date_format": "%d/%m/%Y"}, "does not match --date-format"),
        ("9988776655", {}, "not a date such as 2024-02-29"),
        ("20240229130507", {}, "not a date such as 2024-02-29"),
        ("2024-02-29x13:05", {}, "not a date such as 2024-02-29"),
        ("29.02.2024 13:05", {}, '--date-format "%d.%m.%Y %H:%M"'),
        ("02-29-2024", {}, "--date-format %m-%d-%Y"),
        ("01/02/2024", {}, "--date-format FORMAT, such as %d/%m/%Y"),
        ("2024-02-29", {"date_format": "%d/%m/%Y"}, "--date-format"),
        ("02/29/2024", {"date_format": "%d/%m/%Y"}, "--date-format"),
        ("29/02/2024 13:05", {"date_format": "%d/%m/%Y"}, "--date-format"),
        ("29/02/2024 13:05", {"date_format": "%d/%m/%Y %H:%M"}, "--timezone"),
        (45321, {}, "is a number"),
        (Decimal("45321.5"), {}, "is a number"),
        (True, {}, "is a number"),
        ("2024-03-31 02:30", {"timezone": "Europe/Berlin"}, "skipped this time"),
        ("2024-10-27 02:30", {"timezone": "Europe/Berlin"}, "repeated this time"),
        ("2024-10-27 03:30", {"timezone": "Asia/Kolkata"}, None),
        ("2024-10-27 02:30+01:00", {"timezone": "Europe/Berlin"}, None),
        ("2024-03-31 01:59:59", {"timezone": "Europe/Berlin"}, None),
        ("2024-03-31 03:00", {"timezone": "Europe/Berlin"}, None),
        ("0001-01-01 00:00", {"timezone": "Asia/Kolkata"}, "impossible year"),
        ("9999-12-31T23:59-08:00", {}, "impossible year"),
        (datetime(2024, 2, 29, 13, 5), {}, "--timezone"),  # noqa: DTZ001
        (datetime(2024, 2, 29, 13, 5), {"timezone": "Asia/Kolkata"}, None),  # noqa: DTZ001
        (date(2024, 2, 29), {}, None),
    ],
)
def test_a_date_refused(cell: Any, options: dict[str, str], said: str | None) -> None:
    """An invalid date, an ambiguous time and a time without a zone are refused and not shown."""
    if said is None:
        lead_of({"Joined": cell}, dates=["Joined"], **options)
        return
    error = refusal({"Joined": cell}, dates=["Joined"], **options)
    assert said in str(error)
    assert str(error).startswith('column "Joined": ')
    assert str(cell) not in str(error)
