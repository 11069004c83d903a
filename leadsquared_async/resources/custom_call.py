"""`lsq.request`: a call without its own method."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from leadsquared_async.errors import ConfigurationError
from leadsquared_async.http.call import Call, Host, json_content
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import Idempotency, Keys
from leadsquared_async.protocol import ExpectedBody
from leadsquared_async.resources.submit import Resource

__all__ = ["CustomCalls"]

LONGEST_PATH = 2000
LONGEST_QUERY = 8000
"""Characters; gateways reject longer addresses, and httpx does from 65,536 on."""


class CustomCalls(Resource):
    """Calls without their own method."""

    @without_locals
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        host: Literal["async", "sync"] = "async",
        keys: Literal["all", "api_key"] = "all",
        repeatable: bool = False,
        reference: str | None = None,
        deadline: float | Literal["client"] | None = "client",
    ) -> Any:
        """Make a call without its own method; it is limited, retried and classified like all others.

        Example:
            await lsq.request("GET", "/v2/LeadManagement.svc/Leads.GetById", query={"id": id}, host="sync")

        Args:
            method: GET, POST, ...
            path: starts with a slash, without the query.
            query: parameters besides the keys.
            json: the body, anything that `json.dumps` accepts.
            host: which of the account's hosts.
            keys: all three keys, or the x-api-key only.
            repeatable: whether it may be repeated if it may have arrived; GET always may.
            reference: your own id, for errors and logs.
            deadline: seconds for the whole call; None for no bound; by default the client's.

        Returns:
            The decoded JSON of the answer; None if it is empty.

        Raises:
            LeadSquaredError: the call failed.
        """
        verb = method.upper() if isinstance(method, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]
        if not verb.isascii() or not verb.isalpha():
            raise ConfigurationError("method must be an HTTP method, such as GET or POST")
        if not isinstance(path, str) or not re.fullmatch(r"/[^?# \\]*", path) or not path.isprintable():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                "path must start with a slash and contain no ?, # or space: pass the query as query="
            )
        if len(path) > LONGEST_PATH:
            raise ConfigurationError(f"path is longer than {LONGEST_PATH} characters")
        if host not in ("async", "sync") or keys not in ("all", "api_key"):  # tuples: they may be unhashable
            raise ConfigurationError('host must be "async" or "sync", and keys "all" or "api_key"')
        pairs = () if query is None else _checked_query(query)
        sender = self._parts.sender.until(deadline)
        reads = verb in {"GET", "HEAD"}
        call = Call(
            operation=f"{verb} {path}",
            method=verb,
            path=path,
            query=pairs,
            content=None if json is None else json_content(json),
            host=Host.ASYNC if host == "async" else Host.SYNC,
            keys=Keys(keys),
            expect=ExpectedBody.JSON,
            repeat=Idempotency.READ if reads else Idempotency.MATCHED if repeatable else Idempotency.NONE,
            lane=sender.lane(None, Lane.INTERACTIVE),
            reference=reference,
        )
        return (await sender.send(call)).outcome.data


def _checked_query(query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    refused = ConfigurationError("query must be a mapping from string to string")
    if not isinstance(query, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refused
    pairs = tuple(query.items())
    if not all(isinstance(text, str) for pair in pairs for text in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refused
    text = "".join(text for pair in pairs for text in pair)
    if len(text) > LONGEST_QUERY:
        raise ConfigurationError(f"query is longer than {LONGEST_QUERY} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("query contains an unpaired surrogate, which cannot be encoded") from None
    return pairs
