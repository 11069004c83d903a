"""Leads against the account's fields: fetched once, checked before sending, without delaying leads."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx
import pytest

from leadsquared_async import (
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    InvalidLead,
    KeyReused,
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
from tests.clients import KEYS, answering, virtual_client
from tests.outbox.machine import Machine, by_state, items
from tests.outbox.machine import play as play_machine

T = TypeVar("T")

FIELDS = [
    {"SchemaName": "FirstName", "DisplayName": "First Name", "DataType": "Text", "MaxLength": "20"},
    {"SchemaName": "EmailAddress", "DisplayName": "Email", "DataType": "Email", "MaxLength": "200"},
    {"SchemaName": "mx_City", "DisplayName": "City", "DataType": "Text", "MaxLength": "50"},
    {
        "SchemaName": "mx_Plan",
        "DisplayName": "Plan",
        "DataType": "Select",
        "Options": [{"Value": "Gold"}, {"Value": "Silver"}],
    },
    {"SchemaName": "LastName", "DisplayName": "Last Name", "DataType": "Text", "IsMandatory": True},
]
GOOD = {"FirstName": "Bret", "LastName": "Lee", "EmailAddress": "bret.lee@example.com"}
BAD = {**GOOD, "mx_Ctiy": "Pune"}


def play(what: Callable[[LeadSquared, Books], Awaitable[T]], client: Any = None, **account: Any) -> T:
    async def main() -> T:
        settings = {"faults": Faults(latency=0.04), "attributes": "account", **account}
        lsq, transport = virtual_client(Account(**settings), **(client or {}))
        async with lsq, asyncio.timeout(50_000):
            return await what(lsq, transport.books)

    return virtual.run(main)


def asked(books: Books) -> int:
    return sum(arrival.operation == "fields" for arrival in books.arrivals)


class Answers:
    """A LeadSquared whose lead fields answer as given, and that accepts every lead."""

    def __init__(self, *fields: Any) -> None:
        self.fields = list(fields)
        self.asked = 0
        self.bodies: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v2/LeadManagement.svc/LeadsMetaData.Get":
            self.bodies.append(request.content.decode())
            return httpx.Response(200, json={"RequestID": "3f0c2c4e"})
        self.asked += 1
        answer = self.fields.pop(0) if len(self.fields) > 1 else self.fields[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = FIELDS
        return httpx.Response(200, json=answer) if isinstance(answer, list) else httpx.Response(answer)


def client_of(answers: Answers, **options: Any) -> LeadSquared:
    return answering(answers, **{"sync_host": "https://sync.invalid", **options})


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


def test_400_fields_are_asked_for_once_however_many_start_at_the_same_moment() -> None:
    """100 checked captures, `list`, `check` and `require` at once: one call, and none is rejected."""

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
    """`get` and `require` name all fields that the account lacks."""

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
    """Unknown names with suggestions, lengths, options, missing fields; an update lacks no field."""

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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["off", "strict", "drop"])
def test_one_misspelt_lead_among_a_thousand(mode: str) -> None:
    """strict: rejected before sending, with the right suggestion. drop: accepted without the attribute, which
    the receipt names. off: accepted, and `wait_many` has LeadSquared's words. The others are accepted."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(thousand()) as results:
            done = sorted([result async for result in results], key=lambda result: result.index)
        bad = done.pop(500)
        assert all(result.receipt is not None and result.dropped == () for result in done)
        if mode == "strict":
            assert isinstance(bad.error, InvalidLead)
            assert (bad.error.attribute, bad.error.operation) == ("mx_Ctiy", "leads.capture")
            assert "did you mean mx_City?" in str(bad.error)
            assert books.accepted == 999
            return
        assert bad.receipt is not None
        assert bad.receipt.dropped == (("mx_Ctiy",) if mode == "drop" else ())
        async with lsq.wait_many([*done[:500], bad, *done[500:]], deadline=None) as waits:
            failed = {wait.index: wait.status.reason async for wait in waits if wait.status and not wait.ok}
        said = "MXUnknownAttributeException: Attribute(s) does not exist - mx_Ctiy."
        assert failed == ({500: said} if mode == "off" else {})
        assert asked(books) == (mode == "drop")

    play(use, {"validate": mode})


def test_the_outbox_keeps_leadsquareds_words_and_delivers_what_is_corrected(tmp_path: Any) -> None:
    """`off`: one is rejected with the reason, the others are confirmed; `requeue(drop=...)` delivers it."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(thousand(50, bad=25))
            await outbox.drained()
            (row,) = await items(outbox, "rejected")
            assert row.reason == "MXUnknownAttributeException: Attribute(s) does not exist - mx_Ctiy."
            await outbox.requeue(row, drop=["mx_Ctiy"])
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 50}

    play_machine(tmp_path, deliver, attributes="account")


@pytest.mark.parametrize("mode", ["strict", "drop"])
def test_the_outbox_checks_as_its_client_does(tmp_path: Any, mode: str) -> None:
    """`strict` rejects at `put`; `drop` leaves attributes out, and the ticket names them."""

    async def put(machine: Machine) -> None:
        options = {"sync_host": "https://sandbox.invalid", "validate": mode}
        async with machine.process(options) as outbox:
            if mode == "strict":
                with pytest.raises(InvalidLead, match="did you mean mx_City"):
                    await outbox.put(BAD)
                with pytest.raises(InvalidLead, match="lead 1, counted from 0: mx_Ctiy"):
                    await outbox.put_many([GOOD, BAD])
            else:
                assert (await outbox.put(BAD, key="b")).dropped == ("mx_Ctiy",)
                assert (await outbox.put(BAD, key="b")).dropped == ("mx_Ctiy",)
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 1}

    play_machine(tmp_path, put, attributes="account")


def test_every_operation_with_a_lead_is_checked() -> None:
    """An update lacks no field; details beside the lead are not checked as the lead's."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        status = await lsq.leads.wait(await lsq.leads.capture(GOOD))
        assert status.lead_id is not None
        await lsq.leads.update(status.lead_id, {"mx_City": "Pune"})
        await lsq.activities.create(status.lead_id, event=1, fields={"mx_Custom_77": "x"})
        for act in (
            lsq.leads.update(status.lead_id, {"mx_Ctiy": "Pune"}),
            lsq.activities.create_with_lead(BAD, search_by="EmailAddress", event=1),
            lsq.opportunities.capture(BAD, search_by="EmailAddress", event_code=1),
            lsq.submit(submissions.capture_lead(BAD)),
        ):
            with pytest.raises(InvalidLead, match="did you mean mx_City"):
                await act
        assert books.accepted == 3

    play(use, {"validate": "strict"})


def test_fields_that_cannot_be_had_block_no_capture(caplog: pytest.LogCaptureFixture) -> None:
    """With the sync host down, leads after the first are sent unchecked at once, and one line says so; a
    minute later the fields are requested again, and still no lead waits."""
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


def test_a_slow_answer_holds_up_the_first_leads_for_seconds_only() -> None:
    """Then they are sent unchecked; once the fields have arrived, leads are checked."""
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


def test_a_host_that_hangs_holds_up_the_first_leads_only() -> None:
    """All of them wait for the same few seconds, for any number of leads and any hang."""

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
    """A lead waits no longer than that; one with more time waits as long as all."""

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
    """A form gets its answer in time, whatever either host does."""

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
    """A read changes nothing, so closing cancels it without grace."""

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
    """No capture waits for them; a new field is known with the next lead."""
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
    """`list` raises; an answer without fields is the server's fault, and the error does not show it."""

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
    """No task is left running, and no caller hangs."""

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
    """Sending raises the error, and later leads still wait; an outbox accepts leads even then."""
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


def test_a_check_needs_the_synchronous_host() -> None:
    """A missing host is rejected at once, as is an unknown mode."""
    with pytest.raises(ConfigurationError, match="sync_host"):
        LeadSquared(**KEYS, host="https://asyncapi.example.com", validate="strict")
    with pytest.raises(ConfigurationError, match='"off", "strict" or "drop"'):
        LeadSquared(**KEYS, region="in21", validate="yes")  # type: ignore[arg-type]


def test_normalize_runs_before_everything_else(tmp_path: Any) -> None:
    """Before checks, identity and keys: two spellings of a number are one row, and one order."""

    def tidy(lead: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value.strip() if isinstance(value, str) else value for name, value in lead.items()}

    async def put(machine: Machine) -> None:
        options = {"normalize": tidy}
        async with machine.process(options) as outbox:
            assert (await outbox.put({"FirstName": " Bret ", "Phone": "8888888888"}, key="k")).is_new
            assert not (await outbox.put({"FirstName": "Bret", "Phone": "8888888888 "}, key="k")).is_new
            (row,) = await items(outbox)
            assert row.lead == {"FirstName": "Bret", "Phone": "8888888888"}
        async with Outbox(machine.path) as outbox:  # without a client nothing is checked
            assert (await outbox.put({"FirstName": " Bret "})).is_new

    play_machine(tmp_path, put)


def test_what_was_normalised_once_is_not_normalised_again(tmp_path: Any) -> None:
    """A requeued row is already normalised; a new lead for it is not."""

    def rename(lead: Mapping[str, Any]) -> dict[str, Any]:
        return {"EmailAddress": lead["mail"], **{name: lead[name] for name in lead if name != "mail"}}

    async def mend(machine: Machine) -> None:
        async with machine.process({"normalize": rename}) as outbox:
            for number in range(2):
                await outbox.put({"mail": f"p{number}@example.com", "mx_Foo": "x"})
            await outbox.drained()
            first, second = await items(outbox, "rejected")
            await outbox.requeue(first, drop=["mx_Foo"])
            await outbox.requeue(second, lead={"mail": "new@example.com"})
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 2}
        mails = {known.attributes["EmailAddress"] for known in machine.books.leads.values()}
        assert mails == {"p0@example.com", "new@example.com"}

    play_machine(tmp_path, mend, attributes=("EmailAddress",))


@pytest.mark.parametrize("bad", ["raises", "refuses", "returns nothing"])
def test_the_error_of_a_normalize_that_fails_shows_no_lead(bad: str) -> None:
    """The lead is rejected and shown nowhere; others are sent."""

    def normalize(lead: Mapping[str, Any]) -> Any:
        if lead.get("FirstName") == "Bret":
            if bad == "raises":
                raise ValueError(f"cannot read {lead}")
            if bad == "refuses":
                raise InvalidLead("normalize knows no Bret")
            return None
        return lead

    async def use() -> None:
        async with client_of(Answers(FIELDS), normalize=normalize) as lsq:
            with pytest.raises(InvalidLead, match="normalize") as caught:
                await lsq.leads.capture(GOOD, reference="form-1")
            assert "example.com" not in f"{caught.value!r} {caught.value.__cause__!r}"
            assert (caught.value.operation, caught.value.reference) == ("leads.capture", "form-1")
            assert (await lsq.leads.capture({"FirstName": "Other"})).request_id
        with pytest.raises(ConfigurationError, match="normalize"):
            client_of(Answers(FIELDS), normalize="upper")

    virtual.run(use)


class Name(str, enum.Enum):  # noqa: UP042 - as the docstring says
    """As code of before Python 3.11 has them: their `str` is not their value."""

    FIRST = "FirstName"
    EMAIL = "EmailAddress"
    CITY = " mx_Ctiy "


def test_what_is_dropped_is_not_sent_whatever_its_key_is() -> None:
    """An enum's name is its value; a key that may be personal is not shown."""
    answers = Answers(FIELDS)

    async def use() -> None:
        async with client_of(answers, validate="drop") as lsq:
            lead = {Name.FIRST: "Bret", Name.CITY: "Pune", "bret.lee@example.com": "EmailAddress"}
            receipt = await lsq.leads.capture({**lead, Name.EMAIL: "b@example.com"})
            assert receipt.dropped == ("mx_Ctiy", "attribute 3")

    virtual.run(use)
    (body,) = answers.bodies
    assert body == (
        '[{"Attribute":"FirstName","Value":"Bret"},{"Attribute":"EmailAddress","Value":"b@example.com"}]'
    )


@pytest.mark.parametrize("mode", ["strict", "drop"])
def test_a_name_in_other_letter_case_is_never_dropped(mode: str) -> None:
    """The account has the field, and without it the lead would have no identifier."""
    answers = Answers(FIELDS)

    async def use() -> None:
        async with client_of(answers, validate=mode) as lsq:
            for name, meant in {
                "emailaddress": "EmailAddress",
                "phone": "Phone",
                "mx_city": "mx_City",
            }.items():
                lead = {"FirstName": "Bret", "LastName": "Lee", "mx_Plan": "Gold", name: "bret@example.com"}
                with pytest.raises(InvalidLead, match=f"did you mean {meant}") as caught:
                    await lsq.leads.capture(lead, reference="form-1")
                assert (caught.value.attribute, caught.value.reference) == (name, "form-1")

    virtual.run(use)
    assert not answers.bodies


@pytest.mark.parametrize("mode", ["strict", "drop"])
def test_an_answer_that_is_no_account_stops_and_drops_nothing(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every account has an e-mail address or a phone among its fields; a list without them is an error."""
    answers = Answers([{"SchemaName": "FirstName"}])

    async def use() -> None:
        async with client_of(answers, validate=mode) as lsq:
            assert (await lsq.leads.capture(BAD)).dropped == ()
            with pytest.raises(ServerError, match="neither EmailAddress nor Phone"):
                await lsq.fields.list()

    virtual.run(use)
    assert "mx_Ctiy" in answers.bodies[0]
    assert sum("without a check" in record.message for record in caplog.records) == 1


def test_leads_that_may_be_there_are_not_asked_for_mandatory_fields() -> None:
    """Leads of updates, activities and opportunities, and leads with SearchBy."""
    answers = Answers(FIELDS)
    known = "11111111-0000-4000-8000-000000000000"
    email = {"EmailAddress": "b@example.com"}

    async def use() -> None:
        async with client_of(answers, validate="strict") as lsq:
            capture = lsq.leads.capture
            for act in (
                lsq.leads.update(known, {"mx_City": "Pune"}),
                lsq.opportunities.capture(email, search_by="EmailAddress", event_code=1),
                lsq.activities.create_with_lead(email, search_by="EmailAddress", event=1),
                capture({"ProspectID": known, "mx_City": "Pune"}, search_by="ProspectId"),
                capture({"ProspectID": known, "mx_City": "Pune"}),
                capture(email, search_by="EmailAddress"),
                capture({**email, "SearchBy": "EmailAddress"}),
            ):
                await act
            async with lsq.bulk.create_or_update([email], search_by="EmailAddress") as results:
                assert not [result async for result in results if isinstance(result.error, InvalidLead)]
            with pytest.raises(InvalidLead, match="LastName: mandatory"):
                await capture(email)

    virtual.run(use)
    assert len(answers.bodies) == 8


@pytest.mark.parametrize("of", ["lead", "lead and activity", "bulk"])
def test_a_key_knows_its_lead_whatever_was_dropped_of_it(tmp_path: Any, of: str) -> None:
    """The same lead put before and after the fields are available is one item; another lead is not."""

    def submission(lead: Mapping[str, Any]) -> submissions.Submission:
        if of == "lead":
            return submissions.capture_lead(lead)
        if of == "bulk":
            return submissions.bulk_lead(lead)
        return submissions.create_lead_and_activity(lead, search_by="EmailAddress", event=1)

    async def put(machine: Machine) -> None:
        machine.books.faults = Faults(latency=0.04, probabilities={"503": 1.0}, operations=("fields",))
        async with machine.process() as outbox:
            assert (await outbox.put(submission(BAD), key="form-1")).dropped == ()
        machine.books.faults = Faults(latency=0.04)
        async with machine.process() as outbox:
            again = await outbox.put(submission({**BAD, "E-mail": "x", "mx_Tags": ["x"]}), key="form-1")
            assert (again.is_new, again.dropped) == (False, ("mx_Ctiy", "attribute 5", "mx_Tags"))
            with pytest.raises(KeyReused):
                await outbox.put(submission({**BAD, "mx_Ctiy": "Delhi"}), key="form-1")
            assert (await outbox.put(submission(BAD), key="form-2")).is_new
        machine.books.faults = Faults(latency=0.04, probabilities={"503": 1.0}, operations=("fields",))
        async with machine.process() as outbox:
            assert not (await outbox.put(submission(BAD), key="form-2")).is_new

    options = {"validate": "drop", "sync_host": "https://sandbox.invalid"}
    play_machine(tmp_path, put, options=options, attributes="account")


def thousand(count: int = 1000, bad: int = 500) -> list[dict[str, str]]:
    leads = [{**GOOD, "EmailAddress": f"p{number}@example.com"} for number in range(count)]
    leads[bad]["mx_Ctiy"] = "Pune"
    return leads
