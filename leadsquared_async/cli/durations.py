"""Parse and show durations and times of day. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

__all__ = ["seconds_of", "seconds_until", "spoken", "time_of_day"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float:
    """The seconds of a duration such as 90s, 10m, 1h30m or 30d."""
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration is a number and its unit, s, m, h or d, such as 90s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not seconds:
        raise ValueError("a duration must be longer than zero")
    return seconds


def time_of_day(text: str) -> time:
    """The time of a text such as 07:00 or 23:59:30."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text, re.ASCII)
    if match is not None:
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            return time(hour, minute, second)
    raise ValueError("a time of day is written as hours:minutes, such as 07:00")


def seconds_until(moment: time, now: datetime, zone: tzinfo | None = None) -> float:
    """Seconds until `moment` comes next in the zone, by default the machine's; correct across summer time."""
    shown = now.astimezone(zone).replace(tzinfo=None)
    then = datetime.combine(shown.date(), moment)
    if then <= shown:
        then += timedelta(days=1)
    # The difference of two times of one zone would ignore a change between them.
    until = (then.replace(tzinfo=zone) if zone is not None else then.astimezone()).astimezone(UTC)
    return max(0.0, (until - now.astimezone(UTC)).total_seconds())


def spoken(seconds: float) -> str:
    """A duration as text: 12 s, 3 min, 2 h 5 min, 3 d 4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
