"""What every lead passes before it is sent or kept: it is normalised, checked, and encoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from leadsquared_async.encoding import EncodedSubmission, encode
from leadsquared_async.errors import InvalidLead
from leadsquared_async.submissions import Submission
from leadsquared_async.values import type_name

__all__ = ["Door", "Normalize"]

Normalize = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Validator = Callable[[Submission, float | None], Awaitable[tuple[Submission, tuple[str, ...]]]]


class Door:
    """Lets a submission in, or refuses it.

    Args:
        normalize: the caller's own change to every lead; None for none.
        validate: checks a submission, of a call that may take so many seconds, against the account's lead
            fields, and returns it with the names of the attributes that it left out; None for no check.
    """

    def __init__(self, normalize: Normalize | None = None, validate: Validator | None = None) -> None:
        self._normalize = normalize
        self._validate = validate

    async def admit(
        self, submission: Submission, *, within: float | None = None, is_new: bool = True
    ) -> EncodedSubmission:
        """Check a submission, and make it ready to be sent or kept.

        Args:
            submission: what is to be sent.
            within: seconds that the whole call may take, from now on; None for no bound.
            is_new: whether its lead comes from the caller; one from an outbox was normalised before.

        Raises:
            InvalidLead: naming what cannot be sent.
            ConfigurationError: an option of it cannot be right.
        """
        if not isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(f"a submission of leadsquared_async.submissions, not {type_name(submission)}")
        if is_new and self._normalize is not None and submission.lead is not None:
            submission = dataclasses.replace(submission, lead=self._normalized(submission, self._normalize))
        if self._validate is None or submission.lead is None:
            return encode(submission)
        given = submission.lead
        submission, dropped = await self._validate(submission, within)
        if not dropped:
            return encode(submission)
        kept = submission.lead or {}
        return encode(submission, dropped, [item for item in given.items() if item[0] not in kept])

    @staticmethod
    def _normalized(submission: Submission, normalize: Normalize) -> Mapping[str, Any]:
        assert submission.lead is not None
        try:
            lead = cast("object", normalize(submission.lead))  # it is the caller's code
        except InvalidLead as error:
            fault = error
        except Exception as error:
            fault = InvalidLead(
                f"normalize failed with {type(error).__name__}: correct that function, or catch it there"
            )
        else:
            if isinstance(lead, Mapping):
                return cast("Mapping[str, Any]", lead)
            fault = InvalidLead(f"normalize has to return a lead, not {type_name(lead)}")
        fault.operation, fault.reference = submission.operation.name, submission.reference
        raise fault from None
