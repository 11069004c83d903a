"""`lsq.request`: a call that has no method of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leadsquared_async.encoding import private_values
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.http.call import Call, Host, json_content
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import Idempotency, Keys
from leadsquared_async.protocol import ExpectedBody

__all__ = ["custom_call"]

LONGEST_PATH = 2000
LONGEST_QUERY = 8000
"""Characters; gateways reject longer addresses, and httpx does from 65,536 on."""


def custom_call(
    method: str,
    path: str,
    *,
    query: Mapping[str, str],
    json: Any,
    host: str,
    keys: str,
    repeatable: bool,
    lane: Lane,
    reference: str | None,
) -> Call:
    """The call, checked.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    verb = method.upper()
    if not verb.isascii() or not verb.isalpha():
        raise ConfigurationError("method has to be an HTTP method, such as GET or POST")
    if not path.startswith("/") or not path.isprintable() or any(char in path for char in "?# \\"):
        raise ConfigurationError(
            "path has to start with a slash and contain no ?, # or space: pass query= beside it"
        )
    if len(path) > LONGEST_PATH:
        raise ConfigurationError(f"path is longer than {LONGEST_PATH} characters")
    if host not in {"async", "sync"} or keys not in {"all", "api_key"}:
        raise ConfigurationError('host has to be "async" or "sync", keys "all" or "api_key"')
    reads = verb in {"GET", "HEAD"}
    return Call(
        operation=f"{verb} {path}",
        method=verb,
        path=path,
        query=_checked_query(query),
        content=None if json is None else json_content(json),
        private=(*query.values(), *private_values(json)),
        host=Host.ASYNC if host == "async" else Host.SYNC,
        keys=Keys(keys),
        expect=ExpectedBody.JSON,
        repeat=Idempotency.READ if reads else Idempotency.MATCHED if repeatable else Idempotency.NONE,
        lane=lane,
        reference=reference,
    )


def _checked_query(query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(query.items())
    if not all(isinstance(text, str) for pair in pairs for text in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("query has to be a mapping from string to string")
    text = "".join(text for pair in pairs for text in pair)
    if len(text) > LONGEST_QUERY:
        raise ConfigurationError(f"query is longer than {LONGEST_QUERY} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("query contains an unpaired surrogate, which cannot be encoded") from None
    return pairs
