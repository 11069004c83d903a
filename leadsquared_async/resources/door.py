"""What every lead passes before it is sent or kept: it is normalised, checked, and encoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from leadsquared_async.errors import InvalidLead
from leadsquared_async.submissions import EncodedSubmission, Submission, encoded

__all__ = ["Door", "Normalize"]

Normalize = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Validate = Callable[[Submission], Awaitable[tuple[Submission, tuple[str, ...]]]]


class Door:
    """Lets a submission in, or refuses it.

    Args:
        normalize: the caller's own change to every lead; None for none.
        validate: checks a submission against the account's lead fields, and returns it with the names of the
            attributes that it left out; None for no check.
    """

    def __init__(self, normalize: Normalize | None = None, validate: Validate | None = None) -> None:
        self._normalize = normalize
        self._validate = validate

    async def admit(self, submission: Submission) -> EncodedSubmission:
        """Check a submission, and make it ready to be sent or kept.

        Raises:
            InvalidLead: naming what cannot be sent.
            ConfigurationError: an option of it cannot be right.
        """
        if not isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(
                f"a submission of leadsquared_async.submissions, not {type(submission).__name__}"
            )
        if self._normalize is not None and submission.lead is not None:
            submission = dataclasses.replace(submission, lead=self._normalized(submission, self._normalize))
        dropped: tuple[str, ...] = ()
        if self._validate is not None and submission.lead is not None:
            submission, dropped = await self._validate(submission)
        return encoded(submission, dropped)

    @staticmethod
    def _normalized(submission: Submission, normalize: Normalize) -> Mapping[str, Any]:
        assert submission.lead is not None
        try:
            lead = normalize(submission.lead)
        except Exception as error:
            fault = (
                error
                if isinstance(error, InvalidLead)
                else InvalidLead(
                    f"normalize failed with {type(error).__name__}: mend that function, or catch it there"
                )
            )
            fault.operation, fault.reference = submission.operation.name, submission.reference
            raise fault from None
        if not isinstance(lead, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(f"normalize has to return a lead, not {type(lead).__name__}")
        return lead
