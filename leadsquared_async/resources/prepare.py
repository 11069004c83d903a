"""Prepares every submission before it is sent or stored: normalise, check, encode."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from leadsquared_async.encoding import EncodedSubmission, encode
from leadsquared_async.errors import InvalidLead
from leadsquared_async.submissions import Submission
from leadsquared_async.value_text import type_name

__all__ = ["Normalize", "Preparer"]

Normalize = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Validator = Callable[[Submission, float | None], Awaitable[tuple[Submission, tuple[str, ...]]]]


class Preparer:
    """Normalises, checks and encodes submissions.

    Args:
        normalize: the caller's function for every lead; None for none.
        validate: checks a submission against the account's lead fields, given the seconds that its call may
            take, and returns it with the names of left-out attributes; None for no check.
    """

    def __init__(self, normalize: Normalize | None = None, validate: Validator | None = None) -> None:
        self._normalize = normalize
        self._validate = validate

    async def prepare(
        self, submission: Submission, *, within: float | None = None, is_new: bool = True
    ) -> EncodedSubmission:
        """Normalise, check and encode a submission.

        Args:
            submission: what is to be sent.
            within: seconds that the whole call may take from now; None for no bound.
            is_new: whether its lead comes from the caller; one from an outbox is already normalised.

        Raises:
            InvalidLead: the submission is invalid.
            ConfigurationError: an option of the submission is invalid.
        """
        if not isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(
                f"expected a submission of leadsquared_async.submissions, not {type_name(submission)}"
            )
        if is_new and self._normalize is not None and submission.lead is not None:
            lead = _normalized(submission, submission.lead, self._normalize)
            submission = dataclasses.replace(submission, lead=lead)
        given = submission.lead
        if self._validate is None or given is None:
            return encode(submission)
        submission, dropped = await self._validate(submission, within)
        if not dropped:
            return encode(submission)
        kept = submission.lead or {}
        return encode(submission, dropped, [item for item in given.items() if item[0] not in kept])


def _normalized(submission: Submission, lead: Mapping[str, Any], normalize: Normalize) -> Mapping[str, Any]:
    try:
        changed = cast("object", normalize(lead))  # the caller's code may return anything
    except InvalidLead as error:
        invalid = error
    except Exception as error:
        invalid = InvalidLead(
            f"normalize raised {type(error).__name__}: fix the function, or catch the error in it"
        )
    else:
        if isinstance(changed, Mapping):
            return cast("Mapping[str, Any]", changed)
        invalid = InvalidLead(f"normalize must return a lead, not {type_name(changed)}")
    invalid.operation, invalid.reference = submission.operation.name, submission.reference
    raise invalid from None
