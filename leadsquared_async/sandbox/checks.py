"""Checks of a sandbox's options.

Each takes the name of an option and its value, and returns the value or raises ValueError with both.
"""

from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import cast

Check = Callable[[str, object], object]

DAY = 86_400.0
"""Seconds; no option makes the sandbox wait longer."""


def brief(value: object) -> str:
    """A value as one short line for a message."""
    try:
        shown = ascii(value)
    except (ValueError, RecursionError):  # too many digits, or nested too deeply
        shown = f"a {type(value).__name__}"
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def wrong(name: str, expected: str, value: object) -> ValueError:
    """The error for an invalid option."""
    return ValueError(f"{name} must be {expected}, not {brief(value)}")


def number(*, most: float, more_than: float | None = None) -> Check:
    """A number from 0 or above `more_than` to `most`; a bool is not a number."""
    bounds = "from 0" if more_than is None else f"more than {more_than:g}"

    def check(name: str, value: object) -> object:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not 0 <= value <= most
            or (more_than is not None and value <= more_than)
        ):
            raise wrong(name, f"a number {bounds} to {most:g}", value)
        return value

    return check


def whole(least: int, most: int) -> Check:
    """A whole number within bounds."""

    def check(name: str, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(name, f"a whole number from {least} to {most}", value)
        return value

    return check


def one_of(choices: Collection[str]) -> Check:
    """One of these words."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or value not in choices:
            raise wrong(name, f"one of {', '.join(choices)}", value)
        return value

    return check


def strings(expected: str, *others: str | None, ordered: bool = False) -> Check:
    """A collection of strings, an `ordered` one if asked for, returned as a tuple; or one of `others`."""
    kinds = (list, tuple) if ordered else (Collection,)
    alternatives = "".join(f" or {other!r}" for other in others)

    def check(name: str, value: object) -> object:
        given = value
        if (value is None or isinstance(value, str)) and value in others:
            return value
        if not isinstance(value, (str, bytes)) and isinstance(value, kinds):
            found = tuple(cast("Collection[object]", value))
            if all(isinstance(entry, str) for entry in found):
                return found
        raise wrong(name, f"{expected}{alternatives}", given)

    return check


def by_name(expected: str, kind: type = object) -> Check:
    """A mapping from strings to values of a kind, returned as a dict."""

    def check(name: str, value: object) -> object:
        given = value
        if isinstance(value, Mapping):
            found = dict(cast("Mapping[object, object]", value))
            if all(isinstance(key, str) and isinstance(entry, kind) for key, entry in found.items()):
                return found
        raise wrong(name, expected, given)

    return check


def check_flag(name: str, value: object) -> object:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def check_limit(name: str, value: object) -> object:
    """Calls in seconds, or None."""
    match _pair(value):
        case None if value is None:
            return None
        case [int() as calls, int() | float() as per] if calls >= 1 and 0 < per <= DAY:
            return calls, per
        case _:
            raise wrong(name, "at least 1 call in more than 0 seconds, such as (25, 5.0), or None", value)


def check_span(name: str, value: object) -> object:
    """Two times in seconds, or None."""
    match _pair(value):
        case None if value is None:
            return None
        case [int() | float() as start, int() | float() as end] if -inf < start <= end < inf:
            return start, end
        case _:
            raise wrong(name, "two times in seconds, the earlier one first, or None", value)


def _pair(value: object) -> tuple[object, ...] | None:
    return tuple(cast("list[object]", value)) if isinstance(value, (list, tuple)) else None
