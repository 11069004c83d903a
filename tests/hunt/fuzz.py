"""Answers, headers and leads that nobody would think of."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async.encoding import EncodedSubmission, decode, encode
from leadsquared_async.errors import ConfigurationError, Delivery, Fault, InvalidLead, Scope
from leadsquared_async.operations import LEADS_CAPTURE
from leadsquared_async.protocol import MAX_RETRY_AFTER, ExpectedBody, Reply, RetryHint, classify, retry_after
from leadsquared_async.submissions import capture_lead

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = st.sampled_from(
    [
        "RequestID",
        "RequestId",
        "Status",
        "Error",
        "Success",
        "ExceptionType",
        "ExceptionMessage",
        "message",
        "MXDuplicateEntryException",
        "NullReferenceException",
        "Limit Exceeded",
        "Missing Authentication Token",
        "API calls exceeded the limit of 25 in 5 second(s)",
        "API calls exceeded the limit of 0 in 0 seconds",
        "invalid user details",
        "async-in21.leadsquared.com",
        "b1946ac9-2492-4d23-b2f5-0a1b2c3d4e5f",
    ]
)
texts = WORDS | st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=12,
)
bodies = values.map(json.dumps) | texts | st.binary(max_size=40).map(lambda it: it.decode(errors="replace"))
cut = st.integers(0, 200)
headers = st.dictionaries(st.sampled_from(["retry-after", "location", "content-type"]), texts, max_size=3)
replies = st.builds(
    lambda status, headers, body, at: Reply(status, headers, body if at > 150 else body[:at]),
    st.integers(100, 599) | st.sampled_from([200, 400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504]),
    headers,
    bodies,
    cut,
)


def check_answer(reply: Reply, expected: ExpectedBody) -> None:
    """Any answer has an outcome whose parts agree with each other."""
    outcome = classify(reply, expected, NOW)
    if outcome.succeeded:
        assert outcome.delivery is Delivery.ACCEPTED
        assert 200 <= reply.status < 300
        assert expected is ExpectedBody.JSON or outcome.request_id
        return
    assert outcome.fault is not None
    assert outcome.delivery is not Delivery.ACCEPTED
    assert (outcome.scope is None) == outcome.throttled
    assert outcome.throttled == (outcome.fault is Fault.LIMIT)
    if outcome.fault is Fault.LEAD:
        assert (outcome.scope, outcome.retry) == (Scope.LEAD, RetryHint.NO)
        assert outcome.delivery is Delivery.REJECTED
    if outcome.limit is not None:
        assert outcome.throttled
        assert outcome.limit[0] >= 1
        assert 0 < outcome.limit[1] <= 3600
    assert outcome.pause is None or 0 <= outcome.pause <= MAX_RETRY_AFTER
    assert len(outcome.summary) < 300
    assert outcome.summary.isprintable()


moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: format_datetime(moment.replace(tzinfo=UTC), usegmt=True)
)
pauses = (
    st.text(max_size=30)
    | st.integers().map(str)
    | st.floats().map(str)
    | moments
    | st.builds(lambda text, at: text[:at] + text[at + 1 :], moments, st.integers(0, 28))
)


def check_retry_after(value: str) -> None:
    """Any header is a pause of at most an hour, or none."""
    pause = retry_after(value, NOW)
    assert pause is None or (math.isfinite(pause) and 0 <= pause <= MAX_RETRY_AFTER)


names = st.sampled_from(["EmailAddress", "Phone", "mx_N", "ProspectID", "SearchBy", " FirstName "]) | st.text(
    max_size=12
)
leads = st.dictionaries(names, values | st.dates() | st.datetimes() | st.decimals() | st.binary(), max_size=6)


def check_lead(attributes: dict[str, object]) -> None:
    """Any mapping is refused, or encoded to JSON that decodes to the same values and can be stored."""
    try:
        encoded = encode(capture_lead(attributes))
    except (InvalidLead, ConfigurationError) as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    again = decode(LEADS_CAPTURE, encoded.content)
    assert again.lead is not None
    assert encode(capture_lead(again.lead)).content == encoded.content
    stored = EncodedSubmission.stored(LEADS_CAPTURE, encoded.content, identified=encoded.identified)
    assert stored.content == encoded.content
    given = {name.strip(): value for name, value in attributes.items() if value is not None}
    assert again.lead.keys() == given.keys()


def _checks(examples: int) -> list[Callable[[], None]]:
    chosen = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=[*HealthCheck]
    )
    return [
        chosen(given(replies, st.sampled_from(ExpectedBody))(check_answer)),
        chosen(given(pauses)(check_retry_after)),
        chosen(given(leads)(check_lead)),
    ]


def run(seconds: float, seed: int, examples: int = 500) -> str:
    """Each check in turn, for so long and at least once; `seed` is Hypothesis' own."""
    del seed
    end, rounds = time.monotonic() + seconds, 0
    while not rounds or time.monotonic() < end:
        for check in _checks(examples):
            check()
        rounds += 1
    return f"{rounds * examples} answers, Retry-After headers and leads each"
