"""What an answer asks for: a pause (Retry-After), and the account's own limit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.protocol import ExpectedBody, Outcome, Reply, classify, retry_after

NOW = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
A_SECOND = "API calls exceeded the limit of 25 in 5 second(s)"
LIMIT = json.dumps({"ExceptionType": "MXAPIRateLimitExceededException", "ExceptionMessage": A_SECOND})


def outcome_of(status: int, content: str, headers: dict[str, str] | None = None) -> Outcome:
    return classify(Reply(status, headers or {}, content), ExpectedBody.REQUEST_ID, NOW)


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (A_SECOND, (25, 5.0)),
        ("API calls exceeded the limit of 10 in 5 second(s)", (10, 5.0)),
        ("API calls exceeded the limit of 72 in 5 second(s).", (72, 5.0)),
        ("API CALLS EXCEEDED THE LIMIT OF 20 IN 60 SECONDS", (20, 60.0)),
        ("API calls exceeded the limit of 10000 in 3600 seconds", (10_000, 3600.0)),
        ("API calls exceeded the limit of 1 in 1 second", (1, 1.0)),
        ("API calls exceeded the limit of 0 in 5 second(s)", None),
        ("API calls exceeded the limit of 25 in 0 second(s)", None),
        ("API calls exceeded the limit of 10001 in 5 second(s)", None),
        ("API calls exceeded the limit of 25 in 3601 second(s)", None),
        ("API calls exceeded the limit of 9999999 in 5 second(s)", None),
        ("API calls exceeded the limit of -25 in 5 second(s)", None),
        ("API calls exceeded the limit of 2.5 in 5 second(s)", None),
        ("API calls exceeded the limit of 25 in 5 minutes", None),
        ("API calls exceeded the limit of 25", None),
        # A visitor may write it into a form, and LeadSquared repeat it.
        ("FirstName 'API calls exceeded the limit of 1 in 3600 seconds' is too long", None),
        ("rate limit of 1 in 3600 seconds", None),
        ("Too Many Requests", None),
        ("", None),
    ],
)
def test_the_accounts_own_numbers(message: str, limit: tuple[int, float] | None) -> None:
    """The limit in a message is read if it is plausible, and then the message alone means rate-limited."""
    assert outcome_of(429, json.dumps({"message": message})).limit == limit
    assert outcome_of(200, json.dumps({**json.loads(LIMIT), "ExceptionMessage": message})).limit == limit
    assert outcome_of(500, json.dumps({"ExceptionMessage": message})).throttled is (limit is not None)


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("2", 2.0),
        (" 2 ", 2.0),
        ("2.5", 2.5),
        ("2.", 2.0),
        ("3600", 3600.0),
        ("3601", None),
        ("9" * 400, None),
        ("9" * 5_000, None),
        ("1e3", None),
        ("-1", None),
        ("+1", None),
        ("0x10", None),
        ("1_000", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("Infinity", None),
        ("soon", None),
        ("5, 7", None),
        ("5 seconds", None),
        ("\x00", None),
        ("   ", None),
        ("Thu, 29 Feb 2024 12:00:30 GMT", 30.0),
        ("Thu, 29 Feb 2024 12:00:30 -0000", 30.0),
        ("Thu, 29 Feb 2024 17:30:30 +0530", 30.0),
        ("29 Feb 2024 12:00:30 GMT", 30.0),
        ("Thursday, 29-Feb-24 12:00:30 GMT", 30.0),
        ("Thu Feb 29 12:00:30 2024", 30.0),
        ("Foo, 29 Feb 2024 12:00:30 GMT", 30.0),
        ("Thu, 29 Feb 2024 11:59:59 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 29 Feb 2024 13:00:00 GMT", 3600.0),
        ("Thu, 29 Feb 2024 13:00:01 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 100000 23:59:59 GMT", None),
        ("Fri, 30 Feb 2024 12:00:30 GMT", None),
        ("Thu, 29 Foo 2024 12:00:30 GMT", None),
        ("Thu, 29 Feb 2024 25:00:00 GMT", None),
        ("Thu, 29 Feb 2024 12:00:30 +9999", None),
        ("2024-02-29T12:00:30Z", None),
    ],
)
def test_retry_after(value: str | None, pause: float | None) -> None:
    """Seconds or a date, from 0 to an hour; anything else is ignored."""
    assert retry_after(value, NOW) == pause
    assert retry_after(value, NOW.astimezone(timezone(timedelta(hours=9)))) == pause


@pytest.mark.parametrize(
    ("status", "content", "is_read"),
    [
        (429, "", True),
        (200, LIMIT, True),
        (500, "", True),
        (503, "", True),
        (502, "", True),
        (200, "", True),
        (400, "", False),
        (429, '{"message":"Limit Exceeded"}', False),
        (301, "", False),
        (500, '{"ExceptionType":"MXDuplicateEntryException"}', False),
        (200, '{"RequestID":"5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"}', False),
    ],
)
def test_a_pause_is_read_only_where_a_retry_is_allowed(status: int, content: str, is_read: bool) -> None:
    """Retry-After is read from every answer after which the call may be retried."""
    assert outcome_of(status, content, {"retry-after": "7"}).pause == (7.0 if is_read else None)


pieces = st.sampled_from(
    (
        "Mon,",
        "Wed",
        "Foo",
        "1",
        "31",
        "29",
        "Feb",
        "2024",
        "99999",
        "12:00:00",
        "25:61",
        ":",
        "::",
        ",",
        "GMT",
    )
)


@settings(max_examples=300, deadline=None)
@given(value=st.text() | st.lists(pieces, max_size=7).map(" ".join) | st.floats().map(str))
def test_any_retry_after_is_a_pause_or_none(value: str) -> None:
    """The pause is None or a finite number of seconds for any header."""
    pause = retry_after(value, NOW)
    assert pause is None or 0.0 <= pause <= 3600.0
