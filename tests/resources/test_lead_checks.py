"""Leads are normalised and checked against the account's fields before they are sent or stored."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import pytest

from leadsquared_async import (
    ConfigurationError,
    InvalidLead,
    KeyReused,
    LeadSquared,
    Outbox,
    submissions,
)
from leadsquared_async.sandbox import Books, Faults
from tests import virtual
from tests.clients import KEYS
from tests.outbox.machine import Machine, by_state, items
from tests.outbox.machine import play as play_machine
from tests.resources.account_fields import BAD, FIELDS, GOOD, Answers, asked, client_of, play


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["off", "strict", "drop"])
def test_one_misspelt_lead_among_a_thousand(mode: str) -> None:
    """ "strict" rejects it with a suggestion, "drop" leaves the attribute out and names it, "off" sends it;
    the others are accepted."""

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
    """With "off" one row is rejected with the reason, and `requeue(drop=...)` delivers it."""

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


def test_a_check_needs_the_synchronous_host() -> None:
    """A missing host is rejected at once, as is an unknown mode."""
    with pytest.raises(ConfigurationError, match="sync_host"):
        LeadSquared(**KEYS, host="https://asyncapi.example.com", validate="strict")
    with pytest.raises(ConfigurationError, match='"off", "strict" or "drop"'):
        LeadSquared(**KEYS, region="in21", validate="yes")  # type: ignore[arg-type]


def test_normalize_runs_before_everything_else(tmp_path: Any) -> None:
    """Two spellings of a number are one row and one order."""

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


def test_leads_that_may_be_there_are_not_asked_for_mandatory_fields() -> None:
    """Leads of updates, activities and opportunities, and leads with SearchBy, may lack them."""
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
