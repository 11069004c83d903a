"""The account's fields are fetched once, and no lead waits long for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leadsquared_async import (
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    InvalidLead,
    LeadSquared,
    Outbox,
    RetryPolicy,
    ServerError,
    submissions,
)
from leadsquared_async.client import parts_of
from leadsquared_async.fields import ProblemKind
from leadsquared_async.sandbox import Account, Books, Faults
from tests import virtual
from tests.clients import answering, virtual_client
from tests.resources.account_fields import BAD, FIELDS, GOOD, Answers, asked, client_of, play


def test_fields_are_those_of_the_account() -> None:
    """Name, type, options and length are read; requested once, with the account's keys."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        fields = await lsq.fields.list()
        assert {"FirstName", "EmailAddress", "mx_City"} <= {field.schema_name for field in fields}
        assert (await lsq.fields.get("EmailAddress")).data_type == "Email"
        assert any(field.options for field in fields)
        await lsq.fields.require("FirstName", "mx_City")
        assert asked(books) == 1
        assert not books.misplaced_keys

    play(use)


def test_400_fields_are_fetched_once_for_simultaneous_calls() -> None:
    """100 checked captures, `list`, `check` and `require` share one call, and no lead is rejected."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        strict = [lsq.leads.capture({**GOOD, "EmailAddress": f"p{n}@example.com"}) for n in range(100)]
        fields, *_ = await asyncio.gather(
            lsq.fields.list(), lsq.fields.check(GOOD), lsq.fields.require("mx_City"), *strict
        )
        assert len(fields) == 400
        assert asked(books) == 1
        assert books.accepted == 100

    play(use, {"validate": "strict"}, fields=400)


def test_what_is_missing_is_named_with_what_was_meant() -> None:
    """`get` and `require` name all fields that the account lacks, with suggestions."""

    async def use() -> None:
        async with client_of(Answers(FIELDS)) as lsq:
            with pytest.raises(ConfigurationError) as caught:
                await lsq.fields.require("mx_Ctiy", "FirstName", "mx_Nowhere")
            assert "mx_Ctiy (did you mean mx_City?), mx_Nowhere" in str(caught.value)
            with pytest.raises(ConfigurationError, match="mx_City"):
                await lsq.fields.get("mx_city")
            assert caught.value.fault == "account"

    virtual.run(use)


def test_a_check_says_what_leadsquared_would_refuse() -> None:
    """It finds unknown names, lengths, options and missing fields; an update lacks no field."""

    async def use() -> None:
        async with client_of(Answers(FIELDS)) as lsq:
            lead = {"FirstName": "x" * 21, "EmailAddress": "no address", "mx_Plan": "Iron", "mx_Ctiy": "Pune"}
            flaws = await lsq.fields.check(lead)
            assert {flaw.attribute: flaw.kind for flaw in flaws} == {
                "FirstName": ProblemKind.TOO_LONG,
                "EmailAddress": ProblemKind.NOT_AN_EMAIL,
                "mx_Plan": ProblemKind.NO_OPTION,
                "mx_Ctiy": ProblemKind.UNKNOWN,
                "LastName": ProblemKind.MISSING,
            }
            assert next(flaw.suggestion for flaw in flaws if flaw.suggestion) == "mx_City"
            assert not await lsq.fields.check({"mx_City": "Pune"}, partial=True)
            with pytest.raises(InvalidLead):
                await lsq.fields.check(7)  # type: ignore[arg-type]

    virtual.run(use)


def test_fields_that_cannot_be_had_block_no_capture(caplog: pytest.LogCaptureFixture) -> None:
    """Leads after the first are sent unchecked at once, one line says so, and a minute later the fields are
    requested again."""
    caplog.set_level(logging.WARNING, "leadsquared_async")
    answers = Answers(503, 503, 503, FIELDS)

    async def use() -> None:
        async with client_of(answers, validate="strict") as lsq:
            clock = asyncio.get_running_loop().time
            began = clock()
            await asyncio.gather(*(lsq.leads.capture(BAD) for _ in range(10)))
            assert clock() - began < 6.0
            began = clock()
            await lsq.leads.capture(BAD)
            assert clock() - began < 0.01
            assert len(answers.bodies) == 11
            await asyncio.sleep(61)
            began = clock()
            await lsq.leads.capture(BAD)
            assert clock() - began < 0.01
            await asyncio.sleep(1)
            with pytest.raises(InvalidLead):
                await lsq.leads.capture(BAD)

    virtual.run(use)
    assert sum("without a check" in record.message for record in caplog.records) == 1


def test_a_slow_answer_delays_the_first_leads_for_seconds_only() -> None:
    """They are sent unchecked then, and later leads are checked."""
    answers = Answers(20.0, FIELDS)

    async def use() -> None:
        async with client_of(answers, validate="strict") as lsq:
            clock = asyncio.get_running_loop().time
            began = clock()
            await lsq.leads.capture(BAD)
            assert clock() - began == pytest.approx(5.0, abs=0.1)
            await asyncio.sleep(20)
            with pytest.raises(InvalidLead):
                await lsq.leads.capture(BAD)
            assert answers.asked == 1

    virtual.run(use)


def test_a_host_that_hangs_delays_the_first_leads_only() -> None:
    """All of them wait for the same few seconds."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        async with lsq.bulk.create_or_update([GOOD] * 25) as results:
            assert [result.error async for result in results] == [None] * 25
        assert clock() - began == pytest.approx(5.0, abs=0.1)
        for _ in range(40):
            began = clock()
            await lsq.leads.capture(GOOD)
            assert clock() - began < 0.1
            await asyncio.sleep(7)
        assert asked(books) > 3

    faults = Faults(latency=0.04, probabilities={"hang": 1.0}, operations=("fields",))
    play(use, {"validate": "strict"}, faults=faults)


def test_a_call_keeps_half_of_its_time_for_being_sent() -> None:
    """A lead waits for fields for half of its time at most, and never longer than five seconds."""

    async def use() -> None:
        async with client_of(Answers(1000.0), validate="strict") as lsq:
            clock, preparer = asyncio.get_running_loop().time, parts_of(lsq).preparer

            async def waited(within: float | None) -> float:
                began = clock()
                await preparer.prepare(submissions.capture_lead(BAD), within=within)
                return clock() - began

            waits = await asyncio.gather(waited(2.0), waited(600.0), waited(None))
            assert waits == pytest.approx([1.0, 5.0, 5.0])
            assert await waited(2.0) == 0

    virtual.run(use)


def test_the_wait_for_fields_counts_against_the_deadline() -> None:
    """The deadline bounds a call, whichever host hangs."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        await lsq.leads.capture(GOOD, deadline=1.0)
        assert clock() - began == pytest.approx(0.5, abs=0.1)
        books.faults = Faults(probabilities={"hang": 1.0})
        for attempt in (
            lsq.leads.capture(GOOD, deadline=2.0),
            lsq.with_options(deadline=2.0).leads.capture(GOOD),
        ):
            began = clock()
            with pytest.raises(DeadlineExceeded):
                await attempt
            assert clock() - began == pytest.approx(2.0, abs=0.1)

    faults = Faults(latency=0.04, probabilities={"hang": 1.0}, operations=("fields",))
    play(use, {"validate": "strict", "retry": RetryPolicy(attempts=1)}, faults=faults)


def test_closing_does_not_wait_for_fields_that_nobody_waits_for() -> None:
    """Closing cancels the request for fields without grace."""

    async def use() -> None:
        faults = Faults(latency=0.04, probabilities={"hang": 1.0}, operations=("fields",))
        lsq, _ = virtual_client(Account(faults=faults), validate="strict")
        clock = asyncio.get_running_loop().time
        async with lsq:
            await lsq.leads.capture(GOOD, deadline=1.0)
            began = clock()
        assert clock() - began < 0.1

    virtual.run(use)


def test_stale_fields_are_used_while_newer_ones_are_asked_for() -> None:
    """No capture waits for newer fields, and the lead after their arrival is checked against them."""
    newer = [*FIELDS, {"SchemaName": "mx_Ctiy", "DataType": "Text"}]
    answers = Answers(FIELDS, newer)

    async def use() -> None:
        lsq = client_of(answers, validate="strict")
        lsq._parts.fields._ttl = 60.0
        async with lsq:
            await lsq.leads.capture(GOOD)
            with pytest.raises(InvalidLead):
                await lsq.leads.capture(BAD)
            await asyncio.sleep(61)
            clock = asyncio.get_running_loop().time
            began = clock()
            with pytest.raises(InvalidLead):
                await lsq.leads.capture(BAD)
            assert clock() - began < 0.01
            await asyncio.sleep(1)
            await lsq.leads.capture(BAD)
            assert answers.asked == 2

    virtual.run(use)


def test_a_caller_that_asks_for_fields_gets_the_error() -> None:
    """`list` raises; an answer without fields is a ServerError that does not show it."""

    async def use() -> None:
        async with client_of(Answers([], [{"x": 1}], 401)) as lsq:
            for _ in range(2):
                with pytest.raises(ServerError, match="contains no lead fields"):
                    await lsq.fields.list()
            with pytest.raises(Exception, match="does not accept the keys") as caught:
                await lsq.fields.require("mx_City")
            assert caught.value.fault == "account"  # type: ignore[attr-defined]
        async with answering(Answers(FIELDS)) as lsq:
            with pytest.raises(ConfigurationError, match="no synchronous host"):
                await lsq.fields.list()

    virtual.run(use)


def test_more_than_a_megabyte_of_fields_is_read() -> None:
    """The options of drop-downs make the answer large."""
    options = [{"Value": f"Option number {number}"} for number in range(5000)]
    many = [{"SchemaName": f"mx_{n}", "DataType": "Select", "Options": options} for n in range(20)]

    async def use() -> None:
        async with client_of(Answers([*FIELDS, *many])) as lsq:
            assert len((await lsq.fields.get("mx_7")).options) == 5000

    virtual.run(use)


def test_closing_ends_a_question_that_is_under_way() -> None:
    """No task remains, and no caller hangs."""

    async def use() -> None:
        async with client_of(Answers(1000.0), validate="strict") as lsq:
            asking = asyncio.create_task(lsq.leads.capture(GOOD))
            await asyncio.sleep(1.0)
            asking.cancel()
        assert not [task for task in asyncio.all_tasks() if "fields" in task.get_name()]

    virtual.run(use)


@pytest.mark.parametrize("asked_for", ["list", "get", "check", "require", "verify"])
def test_a_caller_that_asks_while_the_client_closes_gets_client_closed(asked_for: str) -> None:
    """The waiting task is not cancelled; a cancelled one still gets CancelledError."""

    async def use() -> None:
        lsq, _ = virtual_client(
            Account(faults=Faults(latency=0.04, probabilities={"hang": 1.0}, operations=("fields",)))
        )

        async def ask() -> None:
            asks: dict[str, Callable[[], Awaitable[Any]]] = {
                "list": lsq.fields.list,
                "get": lambda: lsq.fields.get("FirstName"),
                "check": lambda: lsq.fields.check(GOOD),
                "require": lambda: lsq.fields.require("FirstName"),
                "verify": lambda: lsq.verify(fields=["FirstName"]),
            }
            await asks[asked_for]()

        async with lsq:
            waiting, cancelled = asyncio.create_task(ask()), asyncio.create_task(ask())
            await asyncio.sleep(1)
            cancelled.cancel()
        with pytest.raises(ClientClosed):
            await waiting
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    virtual.run(use)


async def test_a_client_that_is_not_open_asks_nothing(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Sending raises ClientClosed, and an outbox with a closed client still checks against known fields."""
    answers = Answers(0.1)
    lsq = client_of(answers, validate="strict")
    lsq._parts.fields._ttl = 0.2
    outbox = Outbox(tmp_path / "leads.db", lsq)
    with pytest.raises(ClientClosed):
        await lsq.leads.capture(BAD)
    async with lsq:
        await outbox.open()
        with pytest.raises(InvalidLead):
            await lsq.leads.capture(BAD)
    await asyncio.sleep(0.3)
    with pytest.raises(InvalidLead):
        await outbox.put(BAD)
    assert (await outbox.put(GOOD)).is_new
    await outbox.aclose()
    assert answers.asked == 1
    assert not [record for record in caplog.records if "without a check" in record.message]


@pytest.mark.parametrize("mode", ["strict", "drop"])
def test_an_answer_that_is_no_account_stops_and_drops_nothing(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A list of fields without EmailAddress and Phone is an error, and leads are sent unchecked."""
    answers = Answers([{"SchemaName": "FirstName"}])

    async def use() -> None:
        async with client_of(answers, validate=mode) as lsq:
            assert (await lsq.leads.capture(BAD)).dropped == ()
            with pytest.raises(ServerError, match="neither EmailAddress nor Phone"):
                await lsq.fields.list()

    virtual.run(use)
    assert "mx_Ctiy" in answers.bodies[0]
    assert sum("without a check" in record.message for record in caplog.records) == 1
