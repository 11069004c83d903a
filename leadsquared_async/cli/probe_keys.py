"""`leadsquared doctor --probe-keys`: where the account's asynchronous host takes the keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from leadsquared_async.cli.doctor_checks import Check
from leadsquared_async.cli.exits import ExitStatus, status_of
from leadsquared_async.cli.probe_answers import PAGE, Answer, ask
from leadsquared_async.errors import (
    APIError,
    AuthenticationFailed,
    BadRequest,
    Forbidden,
    NoSuchPath,
    Rejected,
)
from leadsquared_async.http.call import Call
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import LEADS_CAPTURE, Idempotency, Keys
from leadsquared_async.protocol import ExpectedBody

__all__ = ["Posted", "ProbedKeys", "probe_keys"]

PLACES = {Keys.API_KEY: "no access key", Keys.ALL: "keys in the query", Keys.HEADERS: "keys in headers"}


@dataclass(frozen=True, slots=True)
class Posted:
    """An empty body that was posted.

    Attributes:
        place: where the access key and the secret key were, in words.
        accepts: whether the keys were accepted; None if the answer does not say.
    """

    place: str
    answer: Answer
    accepts: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class ProbedKeys:
    """The result.

    Attributes:
        posted: every call, in order.
        check: what was found.
        keys_in: the option to configure; None if the one in use is right, or nothing was found.
    """

    posted: list[Posted]
    check: Check
    keys_in: Literal["query", "headers"] | None = None


async def probe_keys(
    sender: Sender, configured: Mapping[str, str], in_use: str, tell: Callable[[str], None]
) -> ProbedKeys:
    """Post an empty body, which cannot create a lead: without keys, with keys in the query, and in headers.

    Args:
        sender: sends each call once, within the rate limit, with keys in the query by default.
        configured: paths that replace the default ones, by call name.
        in_use: the client's option `keys_in`.
        tell: called with a line for each call.
    """
    done = list[Posted]()
    path = configured.get(LEADS_CAPTURE.name, LEADS_CAPTURE.submit.text)
    for keys, place in PLACES.items():
        call = Call(
            operation="doctor --probe-keys",
            method="POST",
            path=path,
            content=b"",
            keys=keys,
            expect=ExpectedBody.JSON,
            repeat=Idempotency.NONE,
            lane=Lane.STATUS,
        )
        posted = _read(place, await ask(sender, call))
        done.append(posted)
        tell(f"{path}, an empty body, {place}: {posted.words}")
        if posted.accepts is None:
            return ProbedKeys(done, _unclear(posted, path))
    bare, query, headers = (posted.accepts is True for posted in done)
    return ProbedKeys(done, *_conclusion(bare, query, headers, in_use))


def _read(place: str, answer: Answer) -> Posted:
    error = answer.error
    if answer.is_page:
        return Posted(place, answer, None, f"HTTP {answer.status}, {PAGE}")
    if isinstance(error, AuthenticationFailed):
        return Posted(place, answer, False, f"not accepted (HTTP {answer.status})")
    if error is None:
        return Posted(place, answer, True, f"accepted ({answer.words})")
    if isinstance(error, Rejected | BadRequest) or answer.exception or answer.status == 415:
        return Posted(place, answer, True, f"the body is rejected, not the keys (HTTP {answer.status})")
    return Posted(place, answer, None, error.summary)


def _unclear(posted: Posted, path: str) -> Check:
    error = posted.answer.error
    if isinstance(error, Forbidden | NoSuchPath) or posted.answer.is_page:
        return Check("keys in", "wrong", f"stopped at {path}: {posted.words}", ExitStatus.ACCOUNT)
    status = ExitStatus.LEFT if error is None or isinstance(error, APIError) else status_of(error)
    return Check("keys in", "unknown", f"stopped at {path}: {posted.words}", status)


def _conclusion(
    bare: bool, query: bool, headers: bool, in_use: str
) -> tuple[Check, Literal["query", "headers"] | None]:
    if bare:
        detail = "the host rejects an empty body without checking the keys, so this cannot be found out"
        return Check("keys in", "unknown", detail), None
    if query and headers:
        detail = f"accepted in the query and in headers; in use: the {in_use}. Headers keep keys out of URLs"
        return Check("keys in", "ok", detail), "headers" if in_use == "query" else None
    if not query and not headers:
        detail = "the keys are accepted neither in the query nor in headers: check them, and the region"
        return Check("keys in", "wrong", detail, ExitStatus.ACCOUNT), None
    right: Literal["query", "headers"] = "query" if query else "headers"
    if right == in_use:
        return Check("keys in", "ok", f"accepted in the {right} only, as configured"), None
    detail = f"accepted in the {right} only, and configured for the {in_use}: configure it"
    return Check("keys in", "look", detail, ExitStatus.USAGE), right
