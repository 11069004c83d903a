"""An error message repeats LeadSquared's words without personal values."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    Fault,
    Lane,
    LeadSquaredError,
    Rejected,
    Timeout,
)
from leadsquared_async.errors import Facts
from leadsquared_async.http.call import Call
from leadsquared_async.http.error_messages import delivery_sentence, error_from
from leadsquared_async.http.redaction import masked
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import (
    ExpectedBody,
    Reply,
    classify,
    outcome_without_answer,
)

MASK = "**********"
CALL = Call(
    operation="leads.capture",
    method="POST",
    path="/lead/capture",
    content=json.dumps(["Bret", "bret.lee@example.com", "+91-9988776655", "Lee Holdings (Pty)"]).encode(),
    query=(("leadId", "bret-id"),),
    repeat=Idempotency.MATCHED,
    lane=Lane.INTERACTIVE,
)


@pytest.mark.parametrize(
    ("text", "private", "shown"),
    [
        ("", (), ""),
        ("Nothing in it.", (), "Nothing in it"),
        ("Bret is known", ("Bret",), f"{MASK} is known"),
        ("BRET is bret", ("Bret",), f"{MASK} is {MASK}"),
        ("Bretton", ("Bret", "Bretton"), MASK),
        ("Bret Lee", ("Bret", "Bret Lee"), MASK),
        ("a.b*c (d)", ("a.b*c", "(d)"), f"{MASK} {MASK}"),
        ("axbyc", ("a.b*c",), "axbyc"),
        ("\\d+", ("\\d+",), MASK),
        ("is a list", (" is  ", "\na"), f"{MASK} {MASK} list"),
        ("Li lives in India, is a list", ("Li", "is", "In", ""), f"{MASK} lives in India, {MASK} a list"),
        ("李明 exists", ("李明",), f"{MASK} exists"),
        ("Jó exists", ("Jó",), f"{MASK} exists"),
        ("two\nlines", ("two\nlines",), MASK),
        # what LeadSquared has on file, and nobody sent
        ("A lead with a.b+c@mail.example.org exists.", (), f"A lead with {MASK} exists"),
        ("<a@b.c>, 'd@e.f'; email=g@h.i", (), f"<{MASK}>, '{MASK}'; email={MASK}"),
        ("a@b@c.d and @@e@f", (), f"{MASK} and @@{MASK}"),
        ("李明@例え.jp", (), MASK),
        ("@handle stays", (), "@handle stays"),
        ("Phone 9988776655 exists", (), f"Phone {MASK} exists"),
        ("Phone +91-99887 76655 exists", (), f"Phone {MASK} exists"),
        ("Phone (022) 2345-6789, ok", (), f"Phone ({MASK}, ok"),
        ("Row 12345678 of 1234567", (), f"Row {MASK} of 1234567"),
        # what says what is wrong stays
        ("Attribute(s) does not exist - a, mx_b.", (), "Attribute(s) does not exist - a, mx_b"),
        ("the limit of 25 in 5 second(s)", (), "the limit of 25 in 5 second(s)"),
        # one line that a terminal and a file can take
        ("one\r\n  two\tthree\x00", (), "one two three"),
        ("\x1b[31mred\x07 \x9b2J\u2028next", (), "[31mred 2J next"),
        ("half \ud83d pair", (), "half pair"),
        ("ends...", (), "ends"),
        ("x" * 300, (), "x" * 300),
        ("x" * 301, (), "x" * 300 + "…"),
        ("secret" * 100, ("secret",), (MASK * 100)[:300] + "…"),
    ],
)
def test_masked(text: str, private: tuple[str, ...], shown: str) -> None:
    """The lead's values, addresses and numbers are masked, on one line of 300 characters at most."""
    assert masked(text, private) == shown


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.text("abcxyz", min_size=3, max_size=6), min_size=1, max_size=4),
    around=st.lists(st.text("ABC. -@1"), min_size=5, max_size=5),
)
@example(values=["aaa"], around=["111111 1@1 ", "", "", "", ""])
def test_no_value_stays(values: list[str], around: list[str]) -> None:
    """No value of three characters or more is left in the text, whatever surrounds it."""
    text = "".join(piece + value for piece, value in zip(around, values, strict=False))
    shown = masked(text, tuple(values))
    assert not any(value in shown.lower() for value in values if value not in MASK)
    # Masking again shows no more; it may hide more, where a mask now looks like the start of an address.
    again = masked(shown, tuple(values)).rstrip("…")
    assert again in shown or len(again.replace(MASK, "")) < len(shown.replace(MASK, ""))


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters()), private=st.lists(st.text(), max_size=3))
def test_any_text_can_be_written(text: str, private: list[str]) -> None:
    """Any text becomes one line that every stream can write."""
    shown = masked(text, tuple(private))
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 301


@pytest.mark.parametrize("word", ["a", "1(", "1 ", "a@", "@", "a-", "+", "12345", " "])
def test_a_hostile_text_takes_no_time(word: str) -> None:
    """A megabyte of near-addresses does not block the loop."""
    before = time.process_time()
    masked(word * (1_000_000 // len(word)), CALL.private)
    assert time.process_time() - before < 3.0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("too long: " + "a" * 19_900, tuple("a" * (20_000 + more) for more in range(20))),
        ("a" * 100_000, tuple("a" * (3 + more) for more in range(2000))),
        (("a" * 999 + "b") * 100, tuple("a" * (more % 1100) + f"b{more}" for more in range(5000))),
        ("ab" * 50_000, tuple("ab" * 500 + "c" * more for more in range(1000))),
        ("a" * 1200, tuple("a" * 11 + chr(300 + more) for more in range(5000))),
        ("İ" * 50_000, tuple("İ" * (20_000 + more) + "ß" for more in range(20))),
        ("aa bb " * 20_000, tuple(chr(97 + more % 26) + chr(97 + more // 26 % 26) for more in range(7000))),
        ("x@" * 50_000, tuple("x@" * (5000 + more) for more in range(100))),
        ("&#" * 50_000, tuple(f"{more}" + "\\" * 5000 for more in range(500))),
        ("x" * 1200, tuple(f"{more}%" + "25" * 2500 + "&" * 2500 for more in range(500))),
    ],
    ids=lambda value: ascii(value[0])[:12],
)
def test_the_work_of_masking_is_bounded(text: str, values: tuple[str, ...]) -> None:
    """Values that nearly match do not block the loop."""
    began = time.process_time()
    masked(text, values)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "escaped",
    [
        "Zo&#235; M&#xFC;ller-O&#39;Brien &lt;x&gt;",
        "Zo&euml; M&uuml;ller-O&apos;Brien &lt;x&gt;",
        r"Zo\u00eb M\u00FCller-O\u0027Brien \u003cx\u003e",
        r"Zo\\u00eb M\\u00FCller-O\\u0027Brien \\u003cx\\u003e",
        "Zo%C3%AB%20M%C3%BCller-O%27Brien%20%3Cx%3E",
        "Zo%c3%ab+M%c3%bcller-O%27Brien+%3cx%3e",
        "Zo%25C3%25AB%2520M%25C3%25BCller-O%2527Brien%2520%253Cx%253E",
        "Zoe\u0308 Mu\u0308ller-O'Brien <x>",
    ],
)
def test_a_value_is_masked_in_every_escape(escaped: str) -> None:
    """A server's page or nested JSON may repeat a value escaped for HTML, JSON or a URL."""
    assert masked(f"{escaped} is known", ("Zo\u00eb M\u00fcller-O'Brien <x>",)) == f"{MASK} is known"


@pytest.mark.parametrize(
    "escaped", ["12 Main\\nRoad", "12 Main\\\\r\\\\nRoad", "12  Main\tRoad", "12 Main&#10;Road"]
)
def test_a_value_of_several_lines_is_masked(escaped: str) -> None:
    """A server may escape or collapse its line breaks, and trim it."""
    assert masked(f"<{escaped}> is known", (" 12 Main\n\tRoad ",)) == f"<{MASK}> is known"


@pytest.mark.parametrize(
    "value", ["A&amp;Bcd", r"A\u00ebbcd", "50%2540off", "Zoe\u0308", "\U0001f600 smiley"]
)
def test_a_value_that_looks_escaped_is_masked(value: str) -> None:
    """A value with an escape in it is masked as it is, in a URL and in JSON."""
    for escaped in (value, quote(value, safe=""), json.dumps(value)[1:-1]):
        assert masked(f"{escaped} is known", (value,)) == f"{MASK} is known"


@pytest.mark.parametrize("value", ["CORP\\bret.lee", "\\\\share\\bret\\", "CORP\\nina.lee", "bret\\"])
def test_a_value_with_backslashes_is_masked(value: str) -> None:
    """JSON doubles them, and JSON inside JSON doubles them again."""
    once = json.dumps(value)[1:-1]
    for escaped in (value, once, json.dumps(once)[1:-1], quote(value, safe="")):
        assert masked(f"{escaped} is known", (value,)) == f"{MASK} is known"


@pytest.mark.parametrize("length", [12, 13, 50, 500, 999])
def test_the_beginning_of_a_long_value_is_masked(length: int) -> None:
    """A value that the server cut is masked, unless only a few characters match."""
    note = "".join(f"Planted{number} " for number in range(200))
    for before, after in (("", ""), ("too long: ", "..."), ("Notes '", "' is too long")):
        said = masked(f"{before}{note[:length]}{after}", (note,))
        assert said.startswith(f"{before}{MASK}")
        assert "lanted" not in said
    assert masked("Plants are not taken", (note,)) == "Plants are not taken"


def error_of(status: int, body: str, facts: Facts, call: Call = CALL) -> Any:
    outcome = classify(Reply(status, {}, body), ExpectedBody.REQUEST_ID, datetime(2024, 2, 29, tzinfo=UTC))
    return error_from(outcome, call, facts, "[eu] leads.capture: ")


def test_a_megabyte_of_words_takes_no_time_and_shows_no_value() -> None:
    """A thousand values are masked in time, wherever the text is cut."""
    values = tuple(f"Planted{number} Of The Person{number}" for number in range(1000))
    note = "a long note of the person " * 100
    text = f"{note}{' '.join(values)} " * 20
    began = time.process_time()
    said = masked(text, (*values, note))
    assert time.process_time() - began < 1.0
    assert "Planted" not in said
    assert "note" not in said
    for start in range(900, 1300, 7):
        assert "lan" not in masked("x " * (start // 2) + "Planted", ("Planted",))


def test_an_error_of_an_answer() -> None:
    """The message has LeadSquared's masked words, and the attributes have them unmasked."""
    body = (
        '{"Status":"Error","ExceptionType":"MXNewException",'
        '"ExceptionMessage":"BRET (bret.lee@example.com) of Lee Holdings (Pty) exists,'
        '\\nas has o@example.org."}'
    )
    facts = Facts(delivery=Delivery.REJECTED, fault=Fault.LEAD, attempts=2, reference="form-4711")
    error = error_of(500, body, facts)
    assert type(error) is Rejected
    assert str(error) == (
        "[eu] leads.capture: LeadSquared rejected the lead: MXNewException: "
        f"{MASK} ({MASK}) of {MASK} exists, as has {MASK}. Not accepted. (2 attempts)"
    )
    assert (error.delivery, error.fault, error.attempts) == (Delivery.REJECTED, Fault.LEAD, 2)
    assert (error.status_code, error.exception_type) == (500, "MXNewException")
    assert error.exception_message.startswith("BRET (bret.lee@example.com)")
    assert error.body == body
    assert error.reference == "form-4711"


@pytest.mark.parametrize("field", ["ExceptionType", "ExceptionMessage", "message", "RequestID", "x"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 408, 413, 415, 418, 429, 500, 502, 503])
def test_no_answer_makes_a_message_personal(status: int, field: str) -> None:
    """Message, args and repr hold no value of the lead, wherever an answer repeats it."""
    body = f'{{"ExceptionType":"MXNew","{field}":"Bret bret.lee@example.com 99887-76655 Lee Holdings (Pty)"}}'
    error = error_of(status, body, Facts())
    shown = f"{error} {error.args} {error!r}".lower()
    assert not [word for word in ("bret", "example.com", "76655", "holdings") if word in shown]
    assert error.body == body


@pytest.mark.parametrize(
    ("sent", "timed_out", "kind"),
    [(False, False, ConnectionFailed), (True, False, ConnectionFailed), (True, True, Timeout)],
)
def test_an_error_without_an_answer(sent: bool, timed_out: bool, kind: type[LeadSquaredError]) -> None:
    """It has no status and no body, and its message is the cause."""
    outcome = outcome_without_answer(sent=sent, timed_out=timed_out, cause="no answer within 3 s")
    error = error_from(outcome, CALL, Facts(delivery=outcome.delivery, attempts=1), "")
    assert type(error) is kind
    said = "It may have arrived." if sent else "Not sent."
    assert str(error) == f"no answer within 3 s. {said}"
    assert not hasattr(error, "body")
    assert not isinstance(error, DeadlineExceeded)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (Facts(), ". Not sent."),
        (Facts(delivery=Delivery.NOT_SENT, attempts=1), ". Not sent."),
        (Facts(delivery=Delivery.REJECTED, attempts=1), ". Not accepted."),
        (Facts(delivery=Delivery.UNKNOWN, attempts=3), ". It may have arrived. (3 attempts)"),
        (Facts(delivery=Delivery.ACCEPTED, attempts=2), ". It was accepted. (2 attempts)"),
    ],
)
def test_what_became_of_it(facts: Facts, said: str) -> None:
    """A write's error says whether the lead may have arrived, a read's says nothing of it."""
    assert delivery_sentence(CALL, facts) == said
    read = Call(operation="leads.metrics", method="GET", path="/", repeat=Idempotency.READ, lane=Lane.STATUS)
    assert delivery_sentence(read, facts) == ""


def test_a_call_shows_nothing_personal() -> None:
    """The repr of a call holds neither body nor query nor the values to mask."""
    assert "bret" not in repr(CALL).lower()
