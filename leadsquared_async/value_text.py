"""The text that is sent for a value: a date, a number, a bool, a string. Pure.

numpy and pandas values are recognised by protocol; neither package is imported.
"""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from numbers import Integral, Rational, Real
from typing import TYPE_CHECKING, TypeGuard

from leadsquared_async.errors import InvalidLead

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "code_of",
    "invalid",
    "is_uuid",
    "moment_of",
    "text_of",
    "truth_of",
    "type_name",
    "whole_number_of",
]


def text_of(value: object, name: str) -> str:
    """The value as a string for LeadSquared.

    Raises:
        InvalidLead: the value has no unambiguous text.
    """
    if type(value) is str:  # most values, and each further check is slow
        return _checked(value, name)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return _checked(str.__str__(value), name)
    if (truth := truth_of(value)) is not None:
        return "true" if truth else "false"
    if (whole := whole_number_of(value)) is not None:
        return _decimal(Decimal(whole), name)
    if isinstance(value, Decimal):
        return _decimal(value, name)
    if isinstance(value, float):
        # repr keeps 0.1 as 0.1; a whole float (a phone number from a spreadsheet) loses its ".0".
        return _decimal(Decimal(repr(float(value))), name).removesuffix(".0")
    if isinstance(value, Real) and not isinstance(value, Rational):
        # A float of an array library: its text has exactly the digits of its precision.
        return _decimal(Decimal(str(value)), name).removesuffix(".0")
    if isinstance(value, datetime):
        return _utc(value, name)
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00"
    if is_uuid(value):
        return str(value)
    raise invalid(name, f"cannot encode {_unencodable(value)}")


def is_uuid(value: object) -> TypeGuard[UUID]:
    """Whether it is a `uuid.UUID`. A program that has one has imported its module, which is slow."""
    module = sys.modules.get("uuid")
    return module is not None and isinstance(value, module.UUID)


def moment_of(value: object, name: str) -> str:
    """A time in UTC for details, such as 2026-11-27 03:40:00.

    Raises:
        InvalidLead: it is neither an aware datetime nor such a string.
    """
    text = text_of(value, name)
    with suppress(ValueError):  # such as the 31st of February
        if _MOMENT.fullmatch(text) and datetime.fromisoformat(text):
            return text
    raise invalid(name, "must be an aware datetime, or UTC as YYYY-MM-DD HH:MM:SS.")


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def code_of(value: object, name: str) -> int:
    """The code of a type of activity or opportunity.

    Raises:
        InvalidLead: it is not a whole number of up to nine digits.
    """
    whole = whole_number_of(value)
    if whole is not None and 0 <= whole < 10**9:
        return whole
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return int(value)
    raise invalid(
        name,
        f"must be a whole number such as 201, not {type_name(value)}. LeadSquared shows the codes "
        "beside its activity and opportunity types.",
    )


def _unencodable(value: object) -> str:
    kind = type_name(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{kind}. Decode it to a string."
    if isinstance(value, Mapping):
        return f"a {kind} here. Field sets cannot be nested."
    if isinstance(value, list | tuple | set | frozenset):
        return f"a {kind}. Join the items with your field's separator."
    return f"{kind}. Pass a string."


def truth_of(value: object) -> bool | None:
    """A bool of Python or of an array library, such as numpy.bool_; None for any other value."""
    if isinstance(value, bool):
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return bool(value) if kind == "b" and getattr(value, "shape", None) == () else None


def whole_number_of(value: object) -> int | None:
    """An int of Python or of an array library, such as numpy.int64; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    try:
        return operator.index(value)
    except TypeError:  # a numpy duration claims to be an integer but is not
        return None


def _checked(text: str, name: str) -> str:
    if text.isprintable():  # neither a control character nor a surrogate is
        return text
    if _CONTROL.search(text):
        raise invalid(name, "contains a control character. Remove it.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise invalid(
                name, "contains an unpaired surrogate. Decode the text again from its source."
            ) from None
    return text


# Valid in escaped JSON, but not in the XML and SQL behind it; tab and line breaks are.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _decimal(number: Decimal, name: str) -> str:
    if not number.is_finite():
        raise invalid(name, "not a finite number. Leave the attribute out.")
    if abs(number.adjusted()) > 100:
        raise invalid(name, "too large or too small for a field. Pass a string.")
    return f"{number:f}"


def _utc(value: datetime, name: str) -> str:
    try:
        aware = value.utcoffset() is not None
        moment = value.astimezone(UTC) if aware else value
    except (OverflowError, ValueError):  # ValueError: pandas.NaT, which is a datetime
        raise invalid(name, "cannot be converted to UTC. Correct it, or leave the attribute out.") from None
    if not aware:
        raise invalid(
            name,
            "the datetime has no time zone. Add one, such as "
            "value.replace(tzinfo=ZoneInfo(...)); it is sent in UTC.",
        )
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless it is built in, such as numpy.ndarray."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def invalid(place: str, problem: str) -> InvalidLead:
    """The error that names an attribute, what is wrong with it and what to do."""
    return InvalidLead(f"{place}: {problem}", attribute=place)
