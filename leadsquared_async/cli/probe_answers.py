"""What an answer to a probing call says about the path; in plain words, without any text of the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from leadsquared_async.errors import (
    APIError,
    AuthenticationFailed,
    BadRequest,
    Forbidden,
    LeadSquaredError,
    NoSuchPath,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Rejected,
    exception_in,
)
from leadsquared_async.http.call import Call
from leadsquared_async.http.sender import Sender
from leadsquared_async.models import decoded, read_metrics

__all__ = ["PAGE", "Answer", "Finding", "ask", "finding_of", "is_rejection"]


class Finding(StrEnum):
    """Whether a path exists."""

    EXISTS = "exists"
    MISSING = "does not exist"
    REJECTED = "rejected"
    UNCLEAR = "unclear"
    NO_ANSWER = "no answer"

    @property
    def sentence(self) -> str:
        """The same, after the path."""
        return {"rejected": "is rejected", "unclear": "is unclear", "no answer": "does not answer"}.get(
            self.value, self.value
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or the lack of one.

    Attributes:
        status: the HTTP status; None without an answer.
        error: the error of the call; None if it succeeded.
        data: the decoded body; None if it is not JSON.
        body: the body as text.
    """

    status: int | None
    error: LeadSquaredError | None = None
    data: Any = field(default=None, repr=False)
    body: str = field(default="", repr=False)

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, as from a proxy or a firewall."""
        return self.body.lstrip("\ufeff \t\r\n").startswith("<")

    @property
    def exception(self) -> str | None:
        """The name of LeadSquared's exception."""
        return exception_in(self.error.exception_type) if isinstance(self.error, APIError) else None

    @property
    def words(self) -> str:
        """The HTTP status, and the name of LeadSquared's exception, if any."""
        return f"HTTP {self.status}{f', {self.exception}' if self.exception else ''}"


PAGE = "a web page: a proxy or firewall answers, not LeadSquared"


async def ask(sender: Sender, call: Call) -> Answer:
    """Make a call, and return its answer or its error."""
    try:
        outcome = (await sender.send(call)).outcome
    except LeadSquaredError as error:
        if not isinstance(error, APIError):
            return Answer(None, error)
        body = error.body or ""
        try:
            data = decoded(body)
        except ValueError:
            data = None
        return Answer(error.status_code, error, data, body)
    return Answer(outcome.status_code, None, outcome.data, outcome.body or "")


def is_rejection(error: LeadSquaredError | None) -> bool:
    """Whether the keys, the host or the day's quota make LeadSquared reject all calls."""
    return isinstance(error, AuthenticationFailed | Forbidden | QuotaExceeded)


def finding_of(answer: Answer, kind: str, *, is_404_missing: bool) -> tuple[Finding, str]:
    """Whether the path exists, and why, in words.

    Args:
        answer: the answer of the path.
        kind: "status" or "metrics".
        is_404_missing: whether this host answers 404 for a path that does not exist.
    """
    error = answer.error
    if answer.status is None or (isinstance(error, RateLimited) and not is_rejection(error)):
        return Finding.NO_ANSWER, "" if error is None else error.summary
    if answer.is_page:
        return Finding.UNCLEAR, f"HTTP {answer.status}, {PAGE}"
    if isinstance(error, NoSuchPath):
        return Finding.MISSING, f"HTTP {answer.status}, no such path"
    if isinstance(error, NotFound):
        return _not_found(kind, is_404_missing=is_404_missing)
    if error is None and kind == "metrics" and read_metrics(answer.data) is None:
        return Finding.UNCLEAR, f"{answer.words}, without metrics"
    if error is None:
        return Finding.EXISTS, answer.words
    if is_rejection(error):
        return Finding.REJECTED, error.summary
    if isinstance(error, Rejected | BadRequest) or answer.exception:
        return Finding.EXISTS, f"{answer.words}, RequestID rejected"
    return Finding.UNCLEAR, error.summary


def _not_found(kind: str, *, is_404_missing: bool) -> tuple[Finding, str]:
    if kind == "status":
        if is_404_missing:
            return Finding.UNCLEAR, "HTTP 404, unknown RequestID or no such path"
        return Finding.EXISTS, "HTTP 404, unknown RequestID"
    if is_404_missing:
        return Finding.MISSING, "HTTP 404, as for any path that does not exist"
    return Finding.UNCLEAR, "HTTP 404, but not as for a path that does not exist"
