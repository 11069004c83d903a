"""An outcome put into an error: what happened, whether it may have arrived, and nothing personal. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote

from leadsquared_async.config import MASK
from leadsquared_async.errors import APIError, Delivery, Facts, LeadSquaredError, NotFound
from leadsquared_async.operations import Certainty
from leadsquared_async.sending.call import Call
from leadsquared_async.sending.replies import Outcome

__all__ = ["delivery_sentence", "error_from", "masked"]


_DELIVERY = {
    Delivery.NOT_SENT: "It was not sent.",
    Delivery.REJECTED: "It was not taken.",
    Delivery.UNKNOWN: "It may have arrived.",
    Delivery.ACCEPTED: "It was accepted.",
}


def error_from(outcome: Outcome, call: Call, facts: Facts, label: str) -> LeadSquaredError:
    """The error that a failed call raises."""
    assert outcome.error is not None  # what succeeded raises nothing
    kind = outcome.error
    summary = f"{outcome.summary}{_guess(kind, call)}"
    message = f"{label}{summary}{_words(outcome, call)}{delivery_sentence(call, facts)}"
    if not issubclass(kind, APIError):
        return kind(message, **facts)
    return kind(
        message,
        status_code=outcome.status_code,
        exception_type=outcome.exception_type,
        exception_message=outcome.exception_message,
        body=outcome.body,
        **facts,
    )


def delivery_sentence(call: Call, facts: Facts) -> str:
    """Whether it may have arrived; for a read that is of no interest."""
    if not call.writes:
        return ""
    attempts = facts.get("attempts", 0)
    tries = f" ({attempts} attempts)" if attempts > 1 else ""
    return f". {_DELIVERY[facts.get('delivery', Delivery.NOT_SENT)]}{tries}"


def _guess(kind: type[LeadSquaredError], call: Call) -> str:
    """That the path may be wrong, where no page of LeadSquared confirms it."""
    if not issubclass(kind, NotFound) or call.certainty is not Certainty.INFERRED:
        return ""
    return (
        f" (the path {call.path} is a guess that no page of LeadSquared confirms; pass another with "
        f'paths={{"{call.operation}": "/..."}})'
    )


def _words(outcome: Outcome, call: Call) -> str:
    """LeadSquared's own words, without the lead's values."""
    said = ": ".join(part for part in (outcome.exception_type, outcome.exception_message) if part)
    return f": {masked(said, call.private)}" if said else ""


# LeadSquared may repeat what it has on file as well as what it was sent.
# The first half is tried where a word starts and nowhere else, or a long word would take its length squared.
_ADDRESS = re.compile(r"(?<![^\s\"'<>,;:=@])[^\s\"'<>,;:=@]+(?:@|%40)[^\s\"'<>,;]+|\+?\d[\d\s().-]{6,}\d")
# A terminal would obey the first, and no stream can write the second.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f]|[\ud800-\udfff]")
# A shorter one is masked only where it is a whole word, save in scripts where two characters are a name.
_SHORTEST = 3
_LONGEST = 300
_READ = 1000
"""Characters that are looked at, beyond the longest value: a server may send a megabyte of words."""
_UNSURE = 200
"""Characters before a cut that may be the beginning of an address."""


def masked(text: str, private: tuple[str, ...]) -> str:
    """The text without these values, without e-mail addresses and phone numbers, on one line, cut to size."""
    telling = {value for value in private if len(value) >= _SHORTEST or not value.isascii()}
    telling |= {quote(value, safe="", errors="replace") for value in telling}
    values = sorted(telling, key=len, reverse=True)
    unsure = max(_UNSURE, len(values[0]) if values else 0)
    is_cut = len(text) > _READ + unsure
    text = text[: _READ + unsure]
    if values:
        text = re.sub("|".join(map(re.escape, values)), MASK, text, flags=re.IGNORECASE)
    short = sorted({value for value in private if value.isalnum()} - telling)
    if short:
        text = re.sub(rf"\b(?:{'|'.join(short)})\b", MASK, text)
    text = _ADDRESS.sub(MASK, text)
    if is_cut:
        text = text[: max(0, len(text) - unsure)]  # which may be the beginning of a value
    text = " ".join(_NO_TEXT.sub(" ", text).split()).rstrip(".")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
