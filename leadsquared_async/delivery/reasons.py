"""The reason why an item was rejected or is unknown, and the part that may be shown. Pure.

LeadSquared's own words may quote the lead: they are stored in private files, and terminals and logs show only
their kind.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from leadsquared_async.errors import LeadSquaredError, exception_in

__all__ = ["KILLED", "LOST", "OTHER", "UNREADABLE", "kind_of", "kind_of_unknown", "reason_of"]

OTHER = "another reason"
KILLED = "the process ended during the call"
LOST = "it was accepted, but"
UNREADABLE = "it may have been sent, and the row can no longer be read"
"""How the reasons of unknown rows begin; LeadSquared's words may follow."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_ABOUT_NAMES = frozenset({"MXUnknownAttributeException"})


def kind_of(reason: str | None, attributes: Collection[str] = ()) -> str:
    """LeadSquared's name of the exception, with unknown attributes; else "another reason".

    Args:
        reason: the reason, in any words.
        attributes: schema names that may be shown, since they are the user's own.
    """
    kind = exception_in(reason)
    if kind is None or kind not in _ABOUT_NAMES:
        return kind or OTHER
    named = sorted({word for word in _WORD.findall(reason or "") if word in attributes})
    return f"{kind} ({', '.join(named)})" if named else kind


def kind_of_unknown(reason: str | None) -> str:
    """Why it is unknown whether an item arrived, without LeadSquared's words."""
    text = reason or ""
    if text.startswith(LOST):
        return "it was accepted, but its outcome cannot be fetched"
    ours = next((known for known in (KILLED, UNREADABLE) if text.startswith(known)), None)
    return ours or exception_in(text) or "no answer says whether it arrived"


def reason_of(error: LeadSquaredError) -> str:
    """LeadSquared's own words if it gave any, else ours."""
    words = [getattr(error, name, None) for name in ("exception_type", "exception_message")]
    return ": ".join(part for part in words if part) or str(error)
