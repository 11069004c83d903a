"""Validation of a sandbox's options. A rule is a description of valid values, and a test for them."""

from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import Any, cast

Rule = tuple[str, Callable[[Any], bool]]

DAY = 86_400.0
"""Seconds: the largest valid duration."""


def check(name: str, rule: Rule, value: object) -> None:
    """Raise ValueError that names the option if its value is invalid."""
    expected, is_valid = rule
    if not is_valid(value):
        raise ValueError(f"{name} must be {expected}, not {brief(value)}")


def check_all(options: object, rules: Mapping[str, Rule]) -> None:
    """Check the fields of a frozen dataclass, and replace each collection and mapping by a copy."""
    for name, rule in rules.items():
        value: Any = getattr(options, name)
        check(name, rule, value)
        if isinstance(value, Mapping):
            value = dict(cast("Mapping[object, object]", value))
        elif isinstance(value, Collection) and not isinstance(value, str):
            value = tuple(cast("Collection[object]", value))
        object.__setattr__(options, name, value)


def brief(value: object) -> str:
    """A value as one short line for a message."""
    try:
        shown = ascii(value)
    except (ValueError, RecursionError):  # too many digits, or nested too deeply
        shown = f"a {type(value).__name__}"
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def is_number(value: object, least: float = -inf, most: float = inf) -> bool:
    """Whether `value` is an int or a float, but not a bool, within bounds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def number(most: float) -> Rule:
    """A number from 0 on."""
    return f"a number from 0 to {most:g}", lambda value: is_number(value, 0, most)


def whole(least: int, most: int) -> Rule:
    """A whole number within bounds."""
    expected = f"a whole number from {least} to {most}"
    return expected, lambda value: isinstance(value, int) and is_number(value, least, most)


def strings(expected: str, kinds: Any = Collection) -> Rule:
    """A collection of strings, but not a string."""
    return (
        expected,
        lambda value: (
            isinstance(value, kinds)
            and not isinstance(value, (str, bytes))
            and all(isinstance(entry, str) for entry in cast("Collection[object]", value))
        ),
    )


def by_name(expected: str, is_valid: Callable[[object], bool] = lambda _: True) -> Rule:
    """A mapping from strings to valid values."""
    return (
        expected,
        lambda value: (
            isinstance(value, Mapping)
            and all(
                isinstance(key, str) and is_valid(entry)
                for key, entry in cast("Mapping[object, object]", value).items()
            )
        ),
    )


def pair(expected: str, is_valid: Callable[[Any, Any], bool]) -> Rule:
    """Two numbers, or None."""
    return (
        f"{expected}, or None",
        lambda value: (
            value is None
            or (
                isinstance(value, (list, tuple))
                and len(cast("list[object]", value)) == 2
                and all(map(is_number, cast("list[object]", value)))
                and is_valid(*cast("list[object]", value))
            )
        ),
    )


def optional(rule: Rule, *others: object) -> Rule:
    """A rule that also accepts `others`: strings or None."""
    expected = "".join((rule[0], *(f" or {other!r}" for other in others)))
    return (
        expected,
        lambda value: ((value is None or isinstance(value, str)) and value in others) or rule[1](value),
    )
