"""A submission becomes the bytes that LeadSquared takes, or is rejected with what to correct."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, UserDict
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from leadsquared_async import ConfigurationError, InvalidLead, submissions
from leadsquared_async.encoding import (
    EncodedSubmission,
    check_update_behavior,
    decode,
    encode,
    private_values,
)
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, CALLS_LOG, LEADS_CAPTURE
from leadsquared_async.value_text import type_name

GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"
SECRET = "zq-private-4711"


class Name(enum.StrEnum):
    EMAIL = "EmailAddress"


def encoded(lead: Any, **options: Any) -> EncodedSubmission:
    return encode(submissions.capture_lead(lead, **options))


def sent(lead: Any, **options: Any) -> Any:
    return json.loads(encoded(lead, **options).content)


def refusal(lead: Any, **options: Any) -> InvalidLead:
    with pytest.raises(InvalidLead) as caught:
        encoded(lead, **options)
    return caught.value


BRET = (
    b'[{"Attribute":"FirstName","Value":"Bret"},{"Attribute":"LastName","Value":"Lee"},'
    b'{"Attribute":"EmailAddress","Value":"bret.lee@australia.com"},{"Attribute":"Phone","Value":"8888888888"},'
    b'{"Attribute":"ProspectID","Value":"5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"},'
    b'{"Attribute":"SearchBy","Value":"Phone"}]'
)
FIELD_SET = b'[{"Attribute":"mx_KYC","Value":"","Fields":[{"Attribute":"Status","Value":"Pending"}]}]'
ZOE = (
    b'[{"Attribute":"ProspectID","Value":"5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"},'
    b'{"Attribute":"FirstName","Value":"Zo\xc3\xab"},{"Attribute":"SearchBy","Value":"ProspectId"}]'
)


@pytest.mark.parametrize(
    ("lead", "search_by", "body"),
    [
        (
            {
                "FirstName": "Bret",
                "LastName": "Lee",
                "EmailAddress": "bret.lee@australia.com",
                "Phone": "8888888888",
                "ProspectID": UUID(GUID),
            },
            "Phone",
            BRET,
        ),
        (
            {
                "SearchBy": "Phone",
                "FirstName": "Bret",
                "LastName": "Lee",
                "EmailAddress": "bret.lee@australia.com",
                "Phone": 8888888888,
                "ProspectID": GUID,
            },
            None,
            BRET,
        ),
        ({"mx_KYC": {"Status": "Pending"}}, None, FIELD_SET),
        (
            {"ProspectID": GUID, "FirstName": "Zoë"},
            "ProspectID",
            ZOE,
        ),
        (
            {"FirstName": 'Bret "B" \\Lee'},
            None,
            b'[{"Attribute":"FirstName","Value":"Bret \\"B\\" \\\\Lee"}]',
        ),
    ],
)
def test_bodies_are_those_of_the_documentation(lead: Any, search_by: str | None, body: bytes) -> None:
    """The body of a capture is, byte for byte, the array that LeadSquared documents, SearchBy last."""
    assert encoded(lead, search_by=search_by).content == body


@pytest.mark.parametrize(
    "lead", ["FirstName", b"{}", 5, [("FirstName", SECRET)], {"FirstName"}, object(), dict]
)
def test_a_lead_is_a_mapping(lead: object) -> None:
    """Any other type is rejected by its name; so is a submission without a lead."""
    error = refusal(lead)
    assert str(error) == f"a lead is a mapping from schema name to value, not {type_name(lead)}. Pass a dict."
    assert str(refusal(None)) == "leads.capture needs a lead: a mapping from schema name to value."


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, MappingProxyType])
def test_any_mapping_is_a_lead(kind: Any) -> None:
    """A lead and a field set may be any mapping, in its own order."""
    assert sent(kind({"B": 1, "A": kind({"D": 2, "C": 3})})) == [
        {"Attribute": "B", "Value": "1"},
        {
            "Attribute": "A",
            "Value": "",
            "Fields": [{"Attribute": "D", "Value": "2"}, {"Attribute": "C", "Value": "3"}],
        },
    ]


def test_none_is_left_out_and_an_empty_string_clears() -> None:
    """None sends no attribute, "" sends an empty one; within a field set as well."""
    lead = {"FirstName": "Bret", "LastName": None, "Phone": "", "mx_Set": {"A": None, "B": ""}}
    assert sent(lead) == [
        {"Attribute": "FirstName", "Value": "Bret"},
        {"Attribute": "Phone", "Value": ""},
        {"Attribute": "mx_Set", "Value": "", "Fields": [{"Attribute": "B", "Value": ""}]},
    ]


@pytest.mark.parametrize("lead", [{}, {"FirstName": None}, {"SearchBy": "Phone"}])
def test_a_lead_needs_an_attribute_with_a_value(lead: Any) -> None:
    """A lead without any value is rejected, since LeadSquared would create an empty one."""
    assert str(refusal(lead)) == "the lead is empty. It needs at least one attribute with a value."


@pytest.mark.parametrize("inner", [{}, {"Status": None}])
def test_a_field_set_needs_a_field(inner: Any) -> None:
    """An empty field set is rejected by name."""
    error = refusal({"FirstName": "Bret", "mx_KYC": inner})
    assert str(error) == "mx_KYC: a field set needs at least one field with a value."
    assert error.attribute == "mx_KYC"


def test_field_sets_are_one_level_deep() -> None:
    """A field set within a field set is rejected."""
    error = refusal({"mx_KYC": {"Status": {"Deep": SECRET}}})
    assert str(error) == "mx_KYC.Status: cannot encode a dict here. Field sets cannot be nested."


def test_names_are_trimmed() -> None:
    """A spreadsheet's spaces around a schema name are dropped, and an enum stands for its value."""
    assert sent({" FirstName\t": "Bret", Name.EMAIL: "b@example.com"}) == [
        {"Attribute": "FirstName", "Value": "Bret"},
        {"Attribute": "EmailAddress", "Value": "b@example.com"},
    ]


@pytest.mark.parametrize(
    ("lead", "place"),
    [
        ({"Phone": "1", " Phone": SECRET}, "Phone"),
        ({"Phone": None, "Phone ": SECRET}, "Phone"),
        ({"mx_KYC": {"Status": "1", "Status\n": SECRET}}, "mx_KYC.Status"),
    ],
)
def test_a_name_given_twice_is_rejected(lead: Any, place: str) -> None:
    """Two spellings of one name do not overwrite each other silently."""
    error = refusal(lead)
    assert str(error) == f"{place}: given twice. Remove one of them."
    assert error.attribute == place


@pytest.mark.parametrize(
    "name",
    (
        "| |bret.lee@australia.com|+91 9988776655|9988776655|Bret Lee|Zoë|李明|_x|a-b|Phone\x00|\ud800|"
        f'Phone\nX|"|mx_KYC.Status|mx_{"x" * 98}'
    ).split("|"),
)
@pytest.mark.parametrize("within", [None, "mx_KYC"])
def test_an_invalid_name_is_rejected_and_not_shown(name: str, within: str | None) -> None:
    """Keys may be data (a file without a header), so the error gives the position instead of the name."""
    lead = {"Phone": "1", name: "2"}
    error = refusal({within: lead} if within else lead)
    message = str(error)
    assert message.startswith(
        "attribute 2" + (f" of {within}" if within else "") + ": its name is not a schema"
    )
    assert "Settings > Leads > Lead Fields" in message
    assert not name.strip() or len(name) < 3 or name not in repr(error)
    assert error.attribute == within


@pytest.mark.parametrize("name", [None, 1, 1.5, b"Phone", (SECRET,), Name, date(2024, 1, 1)])
def test_a_name_is_a_string(name: object) -> None:
    """A key of another type is rejected by its type, and never shown."""
    error = refusal({name: SECRET})
    assert str(error) == f"attribute 1: a schema name must be a string, not {type_name(name)}."


@pytest.mark.parametrize("name", ["A", "a", "mx_Street1", "X" * 100, "EmailAddress", "M__"])
def test_schema_names_pass(name: str) -> None:
    """A letter, then letters, digits and underscores, 100 of them at most."""
    assert sent({name: "1"}) == [{"Attribute": name, "Value": "1"}]


def test_the_two_spellings_of_the_id() -> None:
    """ProspectId is a value of SearchBy; LeadSquared would reject a lead with an attribute of that name."""
    error = refusal({"ProspectId": GUID, "FirstName": "Bret"})
    assert str(error) == (
        "ProspectId: the attribute is spelled ProspectID (ProspectId is a value of SearchBy only)."
    )
    assert sent({"mx_Set": {"ProspectId": "1"}})[0]["Fields"] == [{"Attribute": "ProspectId", "Value": "1"}]


@pytest.mark.parametrize(
    ("inside", "argument", "out"),
    [
        ("Phone", None, "Phone"),
        (None, "Phone", "Phone"),
        ("Phone", "Phone", "Phone"),
        (" Phone ", "Phone", "Phone"),
        (None, " EmailAddress", "EmailAddress"),
        (None, "mx_Id", "mx_Id"),
        (None, "mx_ProspectId", "mx_ProspectId"),
        ("ProspectId", None, "ProspectId"),
        ("ProspectID", None, "ProspectId"),
        ("ProspectId", "ProspectID", "ProspectId"),
        (Name.EMAIL, None, "EmailAddress"),
        (None, Name.EMAIL, "EmailAddress"),
        (None, None, None),
    ],
)
def test_search_by_in_the_lead_or_beside_it(inside: Any, argument: Any, out: str | None) -> None:
    """SearchBy goes out last, once, in LeadSquared's spelling, wherever it was given."""
    lead = {
        "SearchBy": inside,
        "Phone": "1",
        "EmailAddress": "b@example.com",
        "ProspectID": GUID,
        "mx_Id": "2",
        "mx_ProspectId": "3",
    }
    pairs = sent(lead, search_by=argument)
    assert [pair["Value"] for pair in pairs if pair["Attribute"] == "SearchBy"] == ([out] if out else [])
    assert out is None or pairs[-1] == {"Attribute": "SearchBy", "Value": out}


@pytest.mark.parametrize(
    ("inside", "argument", "message"),
    [
        ("Phone", "EmailAddress", "the argument and the lead disagree. Remove one of them."),
        ("", None, "must be a schema name, such as EmailAddress."),
        (None, "", "must be a schema name, such as EmailAddress."),
        (None, SECRET, "must be a schema name, such as EmailAddress."),
        (None, "b@example.com", "must be a schema name, such as EmailAddress."),
        (9988776655, None, "must be a schema name, such as EmailAddress."),
        ({"Inner": "Phone"}, None, "must be a schema name, such as EmailAddress."),
        (None, 5, "must be a schema name, not int."),
        (None, ["Phone"], "must be a schema name, not list."),
        (None, "Mobile", "the lead has no value for Mobile. Add one, or search by another attribute."),
        (None, "mx_Empty", "the lead has no value for mx_Empty. Add one, or search by another attribute."),
        (None, "mx_Blank", "the lead has no value for mx_Blank. Add one, or search by another attribute."),
        (None, "mx_Set", "the lead has no value for mx_Set. Add one, or search by another attribute."),
        ("SearchBy", None, "the lead has no value for SearchBy. Add one, or search by another attribute."),
    ],
)
def test_an_invalid_search_by_is_rejected(inside: Any, argument: Any, message: str) -> None:
    """SearchBy must name an attribute of the lead that has a value."""
    lead = {"SearchBy": inside, "Phone": "1", "EmailAddress": "b@example.com"}
    lead |= {"mx_Empty": "", "mx_Blank": " ", "mx_Set": {"A": "1"}}
    error = refusal(lead, search_by=argument)
    assert str(error) == f"SearchBy: {message}"
    assert error.attribute == "SearchBy"


NAMED = {"ProspectID": GUID, "EmailAddress": "B@example.com", "Phone": "+91-99887 76655", "Mobile": "1"}


def of(*names: str) -> dict[str, str]:
    return {name: NAMED[name] for name in names}


@pytest.mark.parametrize(
    ("lead", "search_by", "identified", "identity"),
    [
        ({"FirstName": "Bret"}, None, False, None),
        (of("Mobile"), None, False, None),
        ({"FirstName": "Bret", "Phone": None}, None, False, None),
        ({"FirstName": "Bret", "Phone": ""}, None, False, None),
        ({"FirstName": "Bret", "EmailAddress": "  "}, None, False, None),
        ({"EmailAddress": {"A": "1"}}, None, False, None),
        ({"mx_Set": {"Phone": "1"}}, None, False, None),
        (of("Phone"), None, True, ("Phone", "919988776655")),
        ({"Phone": "none"}, None, True, None),
        (of("EmailAddress"), None, True, ("EmailAddress", "b@example.com")),
        (of("ProspectID"), None, True, ("ProspectID", GUID)),
        (of("EmailAddress", "Phone"), None, True, ("EmailAddress", "b@example.com")),
        (of("EmailAddress", "Phone"), "Phone", True, ("Phone", "919988776655")),
        (of("Mobile"), "Mobile", True, ("Mobile", "1")),
        (of("Mobile", "Phone"), "Mobile", True, ("Mobile", "1")),
        # Another e-mail address than the one on file makes a new lead each time.
        (of("ProspectID", "EmailAddress"), None, False, ("ProspectID", GUID)),
        (of("ProspectID", "EmailAddress"), "EmailAddress", True, ("EmailAddress", "b@example.com")),
        (of("ProspectID", "EmailAddress"), "ProspectId", True, ("ProspectID", GUID)),
        (of("ProspectID", "Phone"), None, True, ("ProspectID", GUID)),
        # SearchBy is ignored beside all three identifiers.
        (of("ProspectID", "EmailAddress", "Phone"), "Phone", False, ("ProspectID", GUID)),
    ],
)
def test_what_identifies_a_lead(
    lead: Any, search_by: str | None, identified: bool, identity: tuple[str, str] | None
) -> None:
    """A repeat makes no second lead only if LeadSquared finds the first, as its page "Capture Lead" says."""
    submission = encoded(lead, search_by=search_by)
    assert (submission.identified, submission.identity) == (identified, identity)


@pytest.mark.parametrize(
    ("lead", "search_by", "identified"),
    [
        (of("Phone"), None, True),
        (of("EmailAddress", "Phone"), None, True),
        (of("ProspectID"), None, False),
        ({**of("EmailAddress"), "ProspectID": ""}, None, False),
        (of("ProspectID"), "ProspectId", True),
        (of("ProspectID", "EmailAddress", "Phone"), "Phone", False),
    ],
)
def test_a_bulk_call_finds_no_lead_by_its_id(lead: Any, search_by: str | None, identified: bool) -> None:
    """Unless SearchBy says so (its page names e-mail address and phone only)."""
    assert encode(submissions.bulk_lead(lead, search_by=search_by)).identified is identified


@pytest.mark.parametrize(
    ("submission", "identified", "identity"),
    [
        (submissions.update_lead(GUID.upper(), {"mx_City": "Pune"}), True, ("ProspectID", GUID)),
        (submissions.create_activity(GUID, event=1), False, None),
        (
            submissions.create_lead_and_activity(of("Phone"), search_by="Phone", event=1),
            True,
            ("Phone", "919988776655"),
        ),
        (submissions.update_opportunity(GUID, note="x"), True, ("ProspectOpportunityId", GUID)),
        (submissions.log_call("key", {"LeadId": GUID}), False, None),
    ],
)
def test_what_identifies_another_submission(
    submission: submissions.Submission, identified: bool, identity: tuple[str, str] | None
) -> None:
    """An update is identified by the id of what it changes, others by their lead."""
    made = encode(submission)
    assert (made.identified, made.identity) == (identified, identity)


EVERY = [
    submissions.capture_lead(
        {"Phone": SECRET, "LastName": "", "mx_Set": {"A": 5}}, search_by="Phone", reference="form-1"
    ),
    submissions.update_lead(GUID, {"mx_City": SECRET}, post_updated_lead=True),
    submissions.create_activity(
        GUID, event=201, note=SECRET, at="2026-01-02 03:04:05", fields={"mx_1": "a", "mx_Set": {"A": "b"}}
    ),
    submissions.create_lead_and_activity({"Phone": SECRET}, search_by="Phone", event=7, fields={"mx_1": 1}),
    submissions.capture_opportunity(
        {"Phone": SECRET},
        search_by="Phone",
        event_code=7,
        overwrite_fields=True,
        fields={"mx_1": "a", "mx_Set": {"A": "b"}},
    ),
    submissions.update_opportunity(GUID, fields={"Status": SECRET}),
    submissions.log_call(SECRET, {"SourceNumber": SECRET}, instance=GUID),
    submissions.bulk_lead({"Phone": SECRET}),
]
every = pytest.mark.parametrize("submission", EVERY, ids=lambda submission: submission.operation.name)


@every
def test_a_stored_row_is_its_bytes(submission: submissions.Submission) -> None:
    """What is read from a row is sent as it was encoded, and decodes to it."""
    made = encode(submission)
    row = (made.operation, made.content, made.query, made.suffix)
    stored = EncodedSubmission.stored(*row, identified=made.identified, reference=made.reference)
    assert replace(stored, identity=made.identity) == made
    assert encode(decode(*row, made.reference)) == made


@every
def test_an_encoded_submission_shows_nothing(submission: submissions.Submission) -> None:
    """Its repr holds none of its values; `private_values` lists them, so that they can be redacted."""
    made = encode(submission)
    assert SECRET not in repr(made)
    assert GUID not in repr(made)
    private = private_values(made.content, made.query, made.suffix)
    assert SECRET in private
    assert "Phone" not in private


def test_private_values() -> None:
    """Strings and numbers of the body, but no names; of the query all but LeadSquared's own words."""
    body = [{"Attribute": "Phone", "Value": "98"}, {"Attribute": "SearchBy", "Value": "Phone"}]
    content = json.dumps([*body, {"SchemaName": "mx_1", "Value": {"a": [7, 0.5, True, None, ""]}}]).encode()
    query = [("leadId", "id-1"), ("LeadUpdateBehavior", "DoNotUpdate"), ("RequestID", "r-1")]
    assert sorted(private_values(content, query, ["key"])) == ["0.5", "7", "98", "id-1", "key"]
    assert private_values(None) == private_values(b"") == ()


def test_private_values_of_a_deep_body() -> None:
    """A body that is nested too deeply to be read again is split at its quotes."""
    assert SECRET in private_values(b"[" * 100_000 + f'"{SECRET}"'.encode() + b"]" * 100_000)


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        (LEADS_CAPTURE, b"{}"),
        (BULK_CREATE_OR_UPDATE, b"null"),
        (CALLS_LOG, b"[]"),
        (CALLS_LOG, b"{"),
        (CALLS_LOG, b"\xff"),
        (LEADS_CAPTURE, b"[" * 100_000),
    ],
)
def test_a_row_that_holds_no_submission_is_rejected(operation: Any, content: bytes) -> None:
    """Whatever a file holds, it is a ValueError."""
    with pytest.raises(ValueError, match=r"JSON|Expecting|decode"):
        EncodedSubmission.stored(operation, content, identified=False)


@every
def test_the_order_of_values_does_not_count(submission: submissions.Submission) -> None:
    """A submission has the fingerprint of the same one in another order."""
    turned = replace(
        submission,
        lead=None if submission.lead is None else dict(reversed(submission.lead.items())),
        details=None if submission.details is None else dict(reversed(submission.details.items())),
    )
    assert encode(turned).fingerprint == encode(submission).fingerprint


def test_other_values_have_another_fingerprint() -> None:
    """Of the lead, the details, the query, the path and the operation; the reference does not count."""
    lead = {"Phone": "1", "mx_Set": {"A": "1"}}
    different = [
        submissions.capture_lead(lead),
        submissions.bulk_lead(lead),
        submissions.capture_lead(lead, search_by="Phone"),
        submissions.capture_lead(lead, update_behavior="DoNotUpdate"),
        submissions.capture_lead({**lead, "mx_City": ""}),
        submissions.capture_lead({**lead, "mx_Set": {"A": "2"}}),
        submissions.capture_lead({**lead, "mx_Set": {"B": "1"}}),
        submissions.log_call("key", {"Tag": "1", "LeadId": "2"}),
        submissions.log_call("key", {"Tag": "2", "LeadId": "1"}),
        submissions.log_call("key", {"Tag": "1", "LeadId": "2"}, instance=GUID),
        submissions.log_call("other", {"Tag": "1", "LeadId": "2"}),
    ]
    assert len({encode(submission).fingerprint for submission in different}) == len(different)
    assert encoded(lead, reference="a").fingerprint == encoded(lead, reference="b").fingerprint


@pytest.mark.parametrize("gone", [{"mx_Gone": "x"}, {"mx_Gone": {"A": "x"}}, {"mx_Gone": "x", "E-mail": "y"}])
def test_what_was_left_out_counts_in_the_fingerprint(gone: dict[str, Any]) -> None:
    """Whether an attribute is left out depends on what is known of the account; no body can hold "E-mail"."""
    lead = {"Phone": "1"}
    whole = encoded({**lead, "mx_Gone": gone["mx_Gone"]})
    dropped = encode(submissions.capture_lead(lead), (*gone,), gone.items())
    assert (dropped.content, dropped.dropped) == (encoded(lead).content, (*gone,))
    assert dropped.fingerprint == whole.fingerprint != encoded(lead).fingerprint


@pytest.mark.parametrize("value", [None, "DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"])
def test_update_behaviors(value: Any) -> None:
    """LeadSquared's three words go into the query; None leaves its default."""
    check_update_behavior(value)
    query = encoded({"Phone": "1"}, update_behavior=value).query
    assert query == (() if value is None else (("LeadUpdateBehavior", value),))


@pytest.mark.parametrize("value", ["", "donotupdate", SECRET, 1, ["DoNotUpdate"]])
def test_any_other_update_behavior_is_rejected(value: Any) -> None:
    """LeadSquared would ignore the word, and update what was to be kept."""
    with pytest.raises(ConfigurationError) as caught:
        check_update_behavior(value)
    assert str(caught.value) == (
        "update_behavior must be None or one of DoNotUpdate, UpdateOnlyEmptyFields, DoNotUpdateUniqueFields"
    )


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"postUpdatedLead": "yes"}, "postUpdatedLead: must be True or False"),
        ({"Other": 7}, "Other: must be a string, not int"),
    ],
)
def test_a_query_that_is_no_text_is_rejected(query: dict[str, Any], why: str) -> None:
    """A submission may be made by hand, with any query."""
    submission = replace(submissions.capture_lead({"Phone": "1"}), query=query)
    with pytest.raises(InvalidLead, match=why):
        encode(submission)


@pytest.mark.parametrize("fields", [{}, {"mx_Custom_1": None}])
def test_fields_without_a_value_are_left_out(fields: dict[str, Any]) -> None:
    """The rest of the activity is sent."""
    body = json.loads(encode(submissions.create_activity(GUID, event=201, fields=fields)).content)
    assert "Fields" not in body
    assert body["ActivityEvent"] == 201


def test_a_code_may_be_text() -> None:
    """As a file or a form has it."""
    submission = submissions.create_activity(GUID, event=" 201 ")  # type: ignore[arg-type]
    assert json.loads(encode(submission).content)["ActivityEvent"] == 201
