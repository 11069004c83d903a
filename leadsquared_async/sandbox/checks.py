"""Checks of a sandbox's options.

Each takes the name of an option and its value, and returns the value or raises ValueError with both.
"""

from collections.abc import Callable, Collection, Mapping
from typing import cast

Check = Callable[[str, object], object]

LONGEST = 86_400.0
"""Seconds; a sandbox waits no longer for anything."""


def brief(value: object) -> str:
    """A value for a message: one short line, whatever it is."""
    try:
        shown = ascii(value)
    except (ValueError, RecursionError):  # too many digits, or nested too deeply
        shown = f"a {type(value).__name__}"
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def wrong(name: str, what: str, value: object) -> ValueError:
    """The error for an invalid option."""
    return ValueError(f"{name} must be {what}, not {brief(value)}")


def number(*, least: float = 0.0, more_than: float | None = None, most: float) -> Check:
    """A number within bounds; True and False are none."""
    bounds = f"from {least:g}" if more_than is None else f"more than {more_than:g}"

    def check(name: str, value: object) -> object:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not least <= value <= most
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


def names(*others: str | None) -> Check:
    """A collection of schema names, which one string is not; or one of the others."""
    or_others = "".join(f" or {other!r}" for other in others)

    def check(name: str, value: object) -> object:
        given = value
        if (value is None or isinstance(value, str)) and value in others:
            return value
        if not isinstance(value, (str, bytes)) and isinstance(value, Collection):
            found = tuple(cast("Collection[object]", value))
            if all(isinstance(entry, str) for entry in found):
                return found
        raise wrong(name, f"a collection of schema names{or_others}", given)

    return check


def or_none(check: Check) -> Check:
    """What another check takes, or None."""
    return lambda name, value: None if value is None else check(name, value)


def check_flag(name: str, value: object) -> object:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def check_text(name: str, value: object) -> object:
    """One line of text that can be sent in a header."""
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise wrong(name, "one line of printable ASCII", value)
    return value


def check_texts(name: str, value: object) -> object:
    """A mapping from strings to strings."""
    given = value
    if isinstance(value, Mapping):
        found = dict(cast("Mapping[object, object]", value))
        if all(isinstance(part, str) for pair in found.items() for part in pair):
            return found
    raise wrong(name, "a mapping from strings to strings", given)


def check_limit(name: str, value: object) -> object:
    """Calls in seconds, or None."""
    if value is None:
        return None
    given = value
    if isinstance(value, (list, tuple)):
        match cast("list[object] | tuple[object, ...]", value):
            case [int() as calls, int() | float() as per] if calls >= 1 and 0 < per <= LONGEST:
                return calls, per
            case _:
                pass
    raise wrong(name, "at least 1 call in more than 0 seconds, such as (25, 5.0), or None", given)
