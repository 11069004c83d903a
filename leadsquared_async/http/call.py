"""A call: what is sent where, and whether it may be retried. Frozen; its repr shows no personal data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from leadsquared_async.config import RetryPolicy
from leadsquared_async.encoding import private_values
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import Certainty, Idempotency, Keys
from leadsquared_async.protocol import MAX_BODY, ExpectedBody

__all__ = ["Call", "Host", "Settings", "json_content"]


class Host(Enum):
    """Which of the account's hosts a call goes to."""

    ASYNC = "host"
    SYNC = "sync_host"


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a call; the defaults are the client's.

    Attributes:
        lane: its priority; None uses the operation's.
        deadline: seconds for the whole call, including the wait for a token; None for no limit.
        timeout: seconds for one attempt.
        retry: when to retry the call.
    """

    lane: Lane | None
    deadline: float | None
    timeout: float
    retry: RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        operation: the name in errors and logs.
        suffix: more parts of the path, hidden from logs.
        certainty: how well the path is known.
        query: pairs in addition to the keys; may hold personal data.
        content: the JSON body; holds personal data.
        limit: the rate limit it counts towards.
        most: the maximum number of bytes read of the answer.
        reference: the caller's own id; never sent.
        recorded: whether an outbox or a task records and logs the submission's outcome.
    """

    operation: str
    method: str
    path: str
    suffix: tuple[str, ...] = field(default=(), repr=False)
    certainty: Certainty = Certainty.DOCUMENTED
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: bytes | None = field(default=None, repr=False)
    host: Host = Host.ASYNC
    limit: Limit = Limit.CALLS
    keys: Keys = Keys.ALL
    expect: ExpectedBody = ExpectedBody.REQUEST_ID
    repeat: Idempotency
    lane: Lane
    reference: str | None = None
    recorded: bool = False
    most: int = MAX_BODY

    @property
    def writes(self) -> bool:
        """Whether it changes data at LeadSquared."""
        return self.repeat is not Idempotency.READ

    @property
    def private(self) -> tuple[str, ...]:
        """Values to mask in messages, because LeadSquared's answer may repeat them."""
        return private_values(self.content, self.query, self.suffix)


def json_content(value: Any) -> bytes:
    """Encode a JSON body.

    Raises:
        ConfigurationError: it cannot be encoded.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the body cannot be encoded as JSON ({type(error).__name__})") from None
