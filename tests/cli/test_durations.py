"""Durations and times of day."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from leadsquared_async.cli.durations import seconds_of, seconds_until, spoken, time_of_day

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("30d", 2_592_000), ("0.5s", 0.5), ("1d2h3m4s", 93_784)],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    """Each number has a unit, and the parts are added."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-5m", "5w", "0s", "1e3s", "10m!", "nan", "٣m"])
def test_other_texts_are_no_duration(text: str) -> None:
    """A number without a unit is refused: it could be seconds or minutes."""
    with pytest.raises(ValueError, match="duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("07:00", time(7)), ("7:00", time(7)), ("23:59:30", time(23, 59, 30)), ("0:00", time(0))],
)
def test_a_time_of_day_has_24_hours(text: str, moment: time) -> None:
    """Hours and minutes are required, seconds are optional."""
    assert time_of_day(text) == moment


@pytest.mark.parametrize("text", ["", "7", "24:00", "12:60", "07:00:60", "7pm", "07.00", "007:00", "-1:00"])
def test_other_texts_are_no_time_of_day(text: str) -> None:
    """A time that no clock shows is refused."""
    with pytest.raises(ValueError, match="07:00"):
        time_of_day(text)


@pytest.mark.parametrize(
    ("now", "moment", "hours"),
    [
        (datetime(2024, 6, 1, 5, tzinfo=LONDON), time(7), 2),
        (datetime(2024, 6, 1, 7, tzinfo=LONDON), time(7), 24),  # now is over
        (datetime(2024, 6, 1, 22, tzinfo=LONDON), time(7), 9),
        (datetime(2024, 6, 1, 21, tzinfo=UTC), time(7), 9),  # 22:00 in London
        (datetime(2024, 3, 30, 22, tzinfo=LONDON), time(7), 8),  # clocks are put forward in that night
        (datetime(2024, 10, 26, 22, tzinfo=LONDON), time(7), 10),  # and back in that one
    ],
)
def test_the_time_until_a_time_of_day_follows_local_time(now: datetime, moment: time, hours: float) -> None:
    """The time of day comes within a day, also across a change to summer time."""
    assert seconds_until(moment, now, LONDON) == hours * 3600


def test_the_default_zone_is_that_of_the_machine() -> None:
    """Without a zone, the machine's local time is used."""
    now = datetime.now(UTC)
    later = datetime.fromtimestamp(now.timestamp() + 3600).replace(microsecond=0)  # noqa: DTZ006 - on the wall
    assert seconds_until(later.time(), now) == pytest.approx(3600, abs=1.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5400, "90 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (200_000, "2 d 7 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_is_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    """A duration is rounded to one or two units."""
    assert spoken(seconds) == text
