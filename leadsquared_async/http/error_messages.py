"""An outcome put into an error: what happened, whether it may have arrived, and nothing personal. Pure."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from leadsquared_async.config import MASK
from leadsquared_async.errors import APIError, Delivery, Facts, LeadSquaredError, NotFound
from leadsquared_async.http.call import Call
from leadsquared_async.operations import Certainty
from leadsquared_async.printable import one_line
from leadsquared_async.protocol import Outcome

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
_ADDRESS = re.compile(
    r"(?<![^\s\"'<>,;:=@()])[^\s\"'<>,;:=@()]+(?:@|%40)[^\s\"'<>,;()]+|\+?\d[\d\s().-]{6,}\d"
)
# A shorter one is masked only where it is a whole word, save in scripts where two characters are a name.
_SHORTEST = 3
_BEGINNING = 12
"""Characters of a value that are masked also if the rest does not follow: servers cut what they quote."""
_LONGEST = 300
_READ = 1000
"""Characters that are shown at most: a server may send a megabyte of words."""
_UNSURE = 200
"""Characters behind them that are looked at too: what is shown may end inside a value or an address."""

_Span = tuple[int, int]


def masked(text: str, private: tuple[str, ...]) -> str:
    """The text without these values, without e-mail addresses and phone numbers, on one line, cut to size.

    Its work grows with the number of values, and no further with their length or that of the text.
    """
    looked_at = text[: _READ + _UNSURE]
    cut = {value[: len(looked_at)] for value in private}
    telling = {value for value in cut if len(value) >= _SHORTEST or not value.isascii()}
    telling |= {quote(value, safe="", errors="replace") for value in telling}
    spans = [match.span() for match in _ADDRESS.finditer(looked_at)]
    spans += _of_short(looked_at, {value for value in cut - telling if value.isalnum()})
    spans += _of_values(_folded(looked_at), sorted({_folded(value) for value in telling if value}))
    shown = looked_at if len(text) <= len(looked_at) else looked_at[:_READ]
    return one_line(_without(shown, spans), _LONGEST).rstrip(".")


def _of_short(text: str, values: set[str]) -> Iterator[_Span]:
    return (match.span() for match in re.finditer(r"\w+", text) if match[0] in values) if values else iter(())


def _of_values(text: str, values: Sequence[str]) -> Iterator[_Span]:
    """Where the values stand, whole or, if they are long, their beginnings; the values are sorted."""
    for value in values:
        place = text.find(value)
        while place >= 0:
            yield place, place + len(value)
            place = text.find(value, place + len(value))
    place = 0
    while place <= len(text) - _BEGINNING:
        rest = text[place:]
        after = bisect(values, rest)  # what begins like the rest stands beside it
        same = max((_alike(rest, value) for value in values[max(0, after - 1) : after + 1]), default=0)
        if same >= _BEGINNING:
            yield place, place + same
        place += max(1, same - _BEGINNING + 1)


def _alike(text: str, other: str) -> int:
    """How many characters they have in common at their beginnings."""
    same = 0
    for character, its in zip(text, other, strict=False):
        if character != its:
            break
        same += 1
    return same


def _folded(text: str) -> str:
    """In small letters, of the same length, so that places in it are places in the text."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


def _without(text: str, spans: Iterable[_Span]) -> str:
    """The text with a mask for each span, and one for spans that overlap."""
    parts: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= len(text):
            break
        if start >= end:
            parts += (text[end:start], MASK)
        end = max(end, stop)
    return "".join(parts) + text[end:]
