"""A lead into the pairs that LeadSquared takes, or a refusal that says what to mend."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, UserDict
from datetime import date
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from leadsquared_async import ConfigurationError, InvalidLead
from leadsquared_async.encoding import encode, type_name, update_behavior_query

GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"
SECRET = "zq-private-4711"


class Name(enum.StrEnum):
    EMAIL = "EmailAddress"


def sent(lead: Any, **options: Any) -> Any:
    return json.loads(encode(lead, **options).content)


def refusal(lead: Any, **options: Any) -> InvalidLead:
    with pytest.raises(InvalidLead) as caught:
        encode(lead, **options)
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
    assert encode(lead, search_by=search_by).content == body


@pytest.mark.parametrize(
    "lead", [None, "FirstName", b"{}", 5, [("FirstName", SECRET)], {"FirstName"}, object(), dict]
)
def test_what_is_no_mapping_is_no_lead(lead: object) -> None:
    """Anything but a mapping is refused by its type's name."""
    error = refusal(lead)
    assert str(error) == f"a lead is a mapping from schema name to value, not {type_name(lead)}; pass a dict"


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
    """A lead without any value is refused: it would make an empty one."""
    assert str(refusal(lead)) == "the lead is empty: it needs at least one attribute with a value"


@pytest.mark.parametrize("inner", [{}, {"Status": None}])
def test_a_field_set_needs_a_field(inner: Any) -> None:
    """An empty field set is refused by its name."""
    error = refusal({"FirstName": "Bret", "mx_KYC": inner})
    assert str(error) == "mx_KYC: a field set needs at least one field with a value"
    assert error.attribute == "mx_KYC"


def test_field_sets_are_one_level_deep() -> None:
    """A field set within a field set is refused."""
    error = refusal({"mx_KYC": {"Status": {"Deep": SECRET}}})
    assert (
        str(error) == "mx_KYC.Status: dict has no one spelling here; a field set holds no further field set"
    )


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
def test_a_name_given_twice_is_refused(lead: Any, place: str) -> None:
    """Two spellings of one name do not overwrite each other in silence."""
    error = refusal(lead)
    assert str(error) == f"{place}: given twice; leave one of them out"
    assert error.attribute == place


@pytest.mark.parametrize(
    "name",
    (
        "| |bret.lee@australia.com|+91 9988776655|9988776655|Bret Lee|Zoë|李明|_x|a-b|Phone\x00|\ud800|"
        f'Phone\nX|"|mx_KYC.Status|mx_{"x" * 98}'
    ).split("|"),
)
@pytest.mark.parametrize("within", [None, "mx_KYC"])
def test_a_name_that_is_none_is_refused_and_not_shown(name: str, within: str | None) -> None:
    """Keys are data too (a file without its header): only its place tells which one is meant."""
    lead = {"Phone": "1", name: "2"}
    error = refusal({within: lead} if within else lead)
    message = str(error)
    assert message.startswith("attribute 2" + (f" of {within}" if within else "") + ": its name is no schema")
    assert "Settings > Leads > Lead Fields" in message
    assert not name.strip() or len(name) < 3 or name not in repr(error)
    assert error.attribute == within


@pytest.mark.parametrize("name", [None, 1, 1.5, b"Phone", (SECRET,), Name, date(2024, 1, 1)])
def test_a_name_is_a_string(name: object) -> None:
    """A key of another type is refused by its type, never shown."""
    error = refusal({name: SECRET})
    assert str(error) == f"attribute 1: a schema name is a string, not {type_name(name)}"


@pytest.mark.parametrize("name", ["A", "a", "mx_Street1", "X" * 100, "EmailAddress", "M__"])
def test_schema_names_pass(name: str) -> None:
    """A letter, then letters, digits and underscores, 100 of them at most."""
    assert sent({name: "1"}) == [{"Attribute": name, "Value": "1"}]


def test_the_ids_two_spellings_are_told_apart() -> None:
    """ProspectId is a SearchBy value; as an attribute it would be unknown and reject the whole lead."""
    error = refusal({"ProspectId": GUID, "FirstName": "Bret"})
    assert str(error) == (
        "ProspectId: as an attribute it is spelt ProspectID (ProspectId is for SearchBy only)"
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
        ("Phone", "EmailAddress", "the argument and the lead say different things; leave one of them out"),
        ("", None, "its value has to be a schema name, such as EmailAddress"),
        (None, "", "its value has to be a schema name, such as EmailAddress"),
        (None, SECRET, "its value has to be a schema name, such as EmailAddress"),
        (None, "b@example.com", "its value has to be a schema name, such as EmailAddress"),
        (9988776655, None, "its value has to be a schema name, such as EmailAddress"),
        ({"Inner": "Phone"}, None, "its value has to be a schema name, such as EmailAddress"),
        (None, 5, "a schema name, not int"),
        (None, ["Phone"], "a schema name, not list"),
        (None, "Mobile", "names Mobile, which the lead does not contain; add it, or search by another"),
        (None, "mx_Empty", "names mx_Empty, which the lead does not contain; add it, or search by another"),
        (None, "mx_Blank", "names mx_Blank, which the lead does not contain; add it, or search by another"),
        (None, "mx_Set", "names mx_Set, which the lead does not contain; add it, or search by another"),
        ("SearchBy", None, "names SearchBy, which the lead does not contain; add it, or search by another"),
    ],
)
def test_a_search_by_that_cannot_work_is_refused(inside: Any, argument: Any, message: str) -> None:
    """SearchBy has to name an attribute of the lead that has a value."""
    lead = {"SearchBy": inside, "Phone": "1", "EmailAddress": "b@example.com"}
    lead |= {"mx_Empty": "", "mx_Blank": " ", "mx_Set": {"A": "1"}}
    error = refusal(lead, search_by=argument)
    assert str(error) == f"SearchBy: {message}"
    assert error.attribute == "SearchBy"


@pytest.mark.parametrize(
    ("lead", "search_by", "identified"),
    [
        ({"FirstName": "Bret"}, None, False),
        ({"FirstName": "Bret", "Mobile": "1"}, None, False),
        ({"FirstName": "Bret", "Phone": None}, None, False),
        ({"FirstName": "Bret", "Phone": ""}, None, False),
        ({"FirstName": "Bret", "EmailAddress": "  "}, None, False),
        ({"EmailAddress": {"A": "1"}}, None, False),
        ({"mx_Set": {"Phone": "1"}}, None, False),
        ({"Phone": "1"}, None, True),
        ({"EmailAddress": "b@example.com"}, None, True),
        ({"ProspectID": GUID}, None, True),
        ({"Mobile": "1"}, "Mobile", True),
    ],
)
def test_what_identifies_a_lead(lead: Any, search_by: str | None, identified: bool) -> None:
    """A lead can be sent twice only if ProspectID, EmailAddress, Phone or SearchBy has a value."""
    assert encode(lead, search_by=search_by).identified is identified


def test_an_encoded_lead_shows_nothing() -> None:
    """The repr of an encoded lead holds none of its values, which it lists so that they can be masked."""
    encoded = encode({"Phone": SECRET, "LastName": "", "mx_Set": {"A": 5}, "SearchBy": "Phone"})
    assert encoded.values == (SECRET, "5")
    assert repr(encoded) == "EncodedLead(identified=True)"


@pytest.mark.parametrize(
    ("value", "query"),
    [
        (None, ()),
        ("DoNotUpdate", (("LeadUpdateBehavior", "DoNotUpdate"),)),
        ("UpdateOnlyEmptyFields", (("LeadUpdateBehavior", "UpdateOnlyEmptyFields"),)),
        ("DoNotUpdateUniqueFields", (("LeadUpdateBehavior", "DoNotUpdateUniqueFields"),)),
    ],
)
def test_update_behaviors(value: str | None, query: Any) -> None:
    """LeadSquared's three words go into the query; None leaves its default."""
    assert update_behavior_query(value) == query


@pytest.mark.parametrize("value", ["", "donotupdate", SECRET, 1, ["DoNotUpdate"]])
def test_any_other_update_behavior_is_refused(value: Any) -> None:
    """A word that LeadSquared would ignore would update what was to be kept."""
    with pytest.raises(ConfigurationError) as caught:
        update_behavior_query(value)
    assert str(caught.value) == (
        "update_behavior has to be None or one of DoNotUpdate, UpdateOnlyEmptyFields, DoNotUpdateUniqueFields"
    )
