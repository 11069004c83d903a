"""Assertions about what an account accepted, with messages that show how the closest submissions differ."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from leadsquared_async.sandbox.bodies import text_of
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.checks import brief
from leadsquared_async.sandbox.operations import OPERATIONS
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

MOST_SHOWN = 5
LONGEST_VALUE = 200


class Assertions(ABC):
    """Assertions for tests. A failure message shows the values that were compared, but no key.

    They check accepted submissions, processed or not. Values are compared as text, as LeadSquared receives
    them; None stands for a value that was not sent.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def books(self) -> Books:
        """The records of the account."""

    def assert_captured(self, *, count: int | None = None, **values: object) -> None:
        """Assert that a capture with these values was accepted; with `count`, exactly that many.

        Example:
            sandbox.assert_captured(EmailAddress="bret.lee@example.com", mx_City="Pune")
        """
        __tracebackhide__ = True
        self.assert_submitted("capture", count=count, **values)

    def assert_nothing_captured(self) -> None:
        """Assert that no capture was accepted."""
        __tracebackhide__ = True
        self.assert_submitted("capture", count=0)

    def assert_submitted(self, operation: str, *, count: int | None = None, **values: object) -> None:
        """Like `assert_captured`, for any operation: `capture`, `update`, `activity` and so on.

        Values are named as in the body (such as `ActivityNote` or a schema name) or the query (such as the
        `leadId` of an update).

        Example:
            sandbox.assert_submitted("update", leadId=lead_id, mx_City="Pune")
        """
        __tracebackhide__ = True
        names = [known.name for known in OPERATIONS]
        if operation not in names:
            raise ValueError(f"no operation is called {brief(operation)}: choose from {', '.join(names)}")
        submitted = self.books.submitted(operation)
        expected = {name: None if value is None else text_of(value) for name, value in values.items()}
        matching = [found for found in submitted if not _differences(expected, found)]
        if bool(matching) if count is None else len(matching) == count:
            return
        lines = [
            _headline(operation, count, len(matching), expected),
            *_shown(submitted, matching, expected, count),
            *_failed_calls(self.books, operation),
        ]
        raise AssertionError(_masked("\n".join(lines)))


def _differences(expected: Mapping[str, str | None], found: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {_brief(found.get(name))}{_hint(name, found)}, expected {_brief(value)}"
        for name, value in expected.items()
        if found.get(name) != value
    ]


def _hint(name: str, sent: Collection[str]) -> str:
    """The name that was probably meant, if this one was not sent."""
    by_folded = {other.casefold(): other for other in sent}
    close = [] if name in sent else get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.8)
    return f" (did you mean {by_folded[close[0]]}?)" if close else ""


def _headline(operation: str, count: int | None, matching: int, expected: Mapping[str, str | None]) -> str:
    wanted = ", ".join(f"{name}={_brief(value, none='None')}" for name, value in expected.items())
    having = f" with {wanted}" if wanted else ""
    if count is None:
        return f"no {operation} was accepted{having}"
    were = "was" if matching == 1 else "were"
    number = f"{count} x" if count else "no"
    return f"expected {number} {operation}{having}, but {matching} {were} accepted"


def _shown(
    submitted: Sequence[Mapping[str, str]],
    matching: Sequence[Mapping[str, str]],
    expected: Mapping[str, str | None],
    count: int | None,
) -> list[str]:
    """The submissions that are too many, else those that differ least."""
    too_many = count is not None and len(matching) > count
    numbered = [
        (number, found, _differences(expected, found))
        for number, found in enumerate(submitted, start=1)
        if not too_many or found in matching
    ]
    if not too_many:
        numbered = sorted((one for one in numbered if one[2]), key=lambda one: len(one[2]))
    lines = ["accepted:"] if numbered else []
    for number, found, differences in numbered[:MOST_SHOWN]:
        what = differences or [f"{name}: {_brief(value)}" for name, value in found.items()]
        lines += [f"  no. {number}", *(f"    {line}" for line in what)]
    if len(numbered) > MOST_SHOWN:
        lines.append(f"  and {len(numbered) - MOST_SHOWN} more")
    return lines


def _failed_calls(books: Books, operation: str) -> list[str]:
    """Why calls of the operation were not accepted, and calls to paths that do not exist."""
    failed = Counter(
        f"{call.method} {call.path}: {call.outcome}{f' ({call.why})' if call.why else ''}"
        for call in books.arrivals
        if call.operation in {operation, "unknown"} and (call.outcome != "200" or call.why)
    )
    if not books.arrivals:
        return ["the sandbox got no call"]
    heading = ["calls that were not accepted:"] if failed else []
    return heading + [f"  {number} x {what}" for what, number in failed.most_common(MOST_SHOWN)]


def _brief(value: str | None, none: str = "not sent") -> str:
    if value is None:
        return none
    return repr(value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}...")


def _masked(text: str) -> str:
    for key in (ACCESS_KEY, SECRET_KEY, API_KEY):
        text = text.replace(key, "***")
    return text
