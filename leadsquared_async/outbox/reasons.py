"""What may be shown of the reason why a lead was rejected. Pure.

LeadSquared's own words may hold what was sent: they go into private files, and only their kind to a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["OTHER", "kind_of"]

OTHER = "another reason"

_EXCEPTION = re.compile(r"\s*(MX[A-Za-z]{3,80})\b")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_ABOUT_NAMES = frozenset({"MXUnknownAttributeException"})


def kind_of(reason: str | None, attributes: Collection[str] = ()) -> str:
    """LeadSquared's name of the exception, and which attributes do not exist; else that it is another reason.

    Args:
        reason: in whichever words.
        attributes: schema names that may be shown, since they are the user's own.
    """
    match = _EXCEPTION.match(reason or "")
    if match is None:
        return OTHER
    if match[1] not in _ABOUT_NAMES:
        return match[1]
    named = sorted({word for word in _WORD.findall(reason or "") if word in attributes})
    return f"{match[1]} ({', '.join(named)})" if named else match[1]
