"""A call to be made: what is sent where, and what may be done about it. Frozen, and safe to show."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.operations import Repeat
from leadsquared_async.sending.bucket import Lane
from leadsquared_async.sending.replies import Expect

__all__ = ["Call", "Host", "Keys", "Settings", "json_content", "json_values"]


class Host(Enum):
    """Which of the account's hosts a call goes to."""

    ASYNC = "host"
    SYNC = "sync_host"


class Keys(Enum):
    """Which keys a call carries: submissions all of them, status and metrics the x-api-key only."""

    ALL = "all"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller may choose for each call; the client's own options are the defaults.

    Attributes:
        lane: who goes first; None leaves it to the operation.
        deadline: seconds for the whole call, the wait for a token included; None for no bound.
        timeout: seconds for one attempt.
        retry: when to make the call again.
    """

    lane: Lane | None
    deadline: float | None
    timeout: float
    retry: RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        operation: what errors and logs call it.
        query: pairs beside the keys; may hold personal data.
        content: the JSON body; holds personal data.
        private: values that LeadSquared may repeat in its answer and that no message may show.
        reference: the caller's own id; never sent.
    """

    operation: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: bytes | None = field(default=None, repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
    host: Host = Host.ASYNC
    keys: Keys = Keys.ALL
    expect: Expect = Expect.REQUEST_ID
    repeat: Repeat
    lane: Lane
    reference: str | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes anything at LeadSquared."""
        return self.repeat is not Repeat.ALWAYS


def json_content(value: Any) -> bytes:
    """A body of JSON.

    Raises:
        ConfigurationError: JSON has no way to write it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the body is not JSON ({type(error).__name__})") from None


def json_values(value: Any) -> tuple[str, ...]:
    """The strings and numbers in a body of JSON that may be personal: all but the names of attributes."""
    found: list[str] = []
    rest: list[object] = [value]
    while rest:
        entry = rest.pop()
        if isinstance(entry, dict):
            fields = cast("dict[object, object]", entry)
            rest += [inner for name, inner in fields.items() if name not in _NAMES]
        elif isinstance(entry, list | tuple):
            rest += cast("list[object]", entry)
        elif isinstance(entry, str | int | float) and not isinstance(entry, bool):
            found.append(str(entry))
    return tuple(found)


_NAMES = frozenset({"Attribute", "SchemaName"})
