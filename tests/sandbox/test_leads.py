"""What a capture does to leads: the rules of Lead.Capture, one row each."""

from itertools import count

import pytest

from leadsquared_async.sandbox.answers import ApplicationError
from leadsquared_async.sandbox.records import Records

OLD = "aaaaaaaa-0000-4000-8000-000000000001"
NEW = "bbbbbbbb-0000-4000-8000-000000000002"
STORED = {"ProspectID": OLD, "EmailAddress": "a@b.c", "Phone": "1", "mx_Unique": "u", "Mobile": "7"}


def make_store() -> Records:
    """A store whose ids count up."""
    ids = count(1)
    return Records(lambda: f"id-{next(ids)}")


MATCHES = {
    "no identity: always new": ({"FirstName": "B"}, True),
    "the id alone": ({"ProspectID": OLD}, False),
    "the id in capitals": ({"ProspectID": OLD.upper()}, False),
    "the id, e-mail equal": ({"ProspectID": OLD, "EmailAddress": "a@b.c"}, False),
    "the id, e-mail differs": ({"ProspectID": OLD, "EmailAddress": "x@y.z"}, True),
    "the id, phone differs": ({"ProspectID": OLD, "Phone": "2"}, False),
    "an unknown id": ({"ProspectID": NEW}, True),
    "an unknown id, e-mail matches": ({"ProspectID": NEW, "EmailAddress": "a@b.c"}, False),
    "an unknown id, phone matches": ({"ProspectID": NEW, "Phone": "1"}, False),
    "e-mail matches": ({"EmailAddress": "a@b.c"}, False),
    "e-mail matches in another case": ({"EmailAddress": "A@B.C"}, False),
    "e-mail matches, phone differs": ({"EmailAddress": "a@b.c", "Phone": "2"}, False),
    "phone matches": ({"Phone": "1"}, False),
    "phone matches, e-mail differs": ({"EmailAddress": "x@y.z", "Phone": "1"}, False),
    "nothing matches": ({"EmailAddress": "x@y.z", "Phone": "2"}, True),
    "an empty e-mail is none": ({"EmailAddress": "", "FirstName": "B"}, True),
    "SearchBy a unique field": ({"mx_Unique": "u", "SearchBy": "mx_Unique"}, False),
    "SearchBy a unique field that matches nothing": ({"mx_Unique": "v", "SearchBy": "mx_Unique"}, True),
    "SearchBy Mobile": ({"Mobile": "7", "SearchBy": "Mobile"}, False),
    "SearchBy the id": ({"ProspectID": OLD, "EmailAddress": "x@y.z", "SearchBy": "ProspectId"}, False),
    "SearchBy first": ({"EmailAddress": "x@y.z", "Phone": "1", "SearchBy": "Phone"}, False),
    "then the others": ({"EmailAddress": "a@b.c", "Phone": "2", "SearchBy": "Phone"}, False),
    "SearchBy ignored beside all three": (
        {"ProspectID": OLD, "EmailAddress": "x@y.z", "Phone": "1", "SearchBy": "Phone"},
        True,
    ),
}


@pytest.mark.parametrize(("passed", "created"), MATCHES.values(), ids=MATCHES.keys())
def test_whom_a_capture_matches(passed: dict[str, str], created: bool):
    """A capture updates the lead that it matches, else it creates one."""
    store = make_store()
    store.capture(dict(STORED), None, 0.0)
    captured = store.capture(passed, None, 1.0)
    assert captured["IsCreated"] is created
    assert (captured["RelatedId"] == OLD) is not created
    assert len(store.leads) == 1 + created


def test_the_id_of_an_anonymous_visitor_is_kept():
    """A ProspectID that no lead has yet becomes the new lead's id."""
    store = make_store()
    assert store.capture({"ProspectID": NEW, "FirstName": "B"}, None, 0.0)["RelatedId"] == NEW
    assert store.leads[NEW].attributes["ProspectID"] == NEW


def test_of_several_matches_the_oldest_is_updated():
    """Two leads may share an e-mail address after one was created by id."""
    store = make_store()
    store.capture(dict(STORED), None, 0.0)
    store.capture({"ProspectID": OLD, "EmailAddress": "x@y.z"}, None, 0.0)
    store.capture({"ProspectID": OLD, "EmailAddress": "x@y.z"}, None, 0.0)
    assert len(store.leads) == 3
    assert store.capture({"EmailAddress": "x@y.z"}, None, 0.0)["RelatedId"] == list(store.leads)[1]


def test_a_lead_is_found_by_what_it_was_updated_to():
    """The index follows an update, and forgets the old value."""
    store = make_store()
    store.capture(dict(STORED), None, 0.0)
    store.capture({"EmailAddress": "a@b.c", "Phone": "2"}, None, 0.0)
    assert store.capture({"Phone": "2"}, None, 0.0)["IsCreated"] is False
    assert store.capture({"Phone": "1"}, None, 0.0)["IsCreated"] is True


def test_twice_without_identity_makes_two_leads():
    """There is no idempotency key: the duplicate shows."""
    store = make_store()
    for _ in range(2):
        store.capture({"FirstName": "Bret"}, None, 0.0)
    assert len(store.leads) == 2
    assert store.duplicates() == 1


def test_phone_numbers_match_exactly():
    """Another spelling is another number; whether LeadSquared compares the digits is not documented."""
    store = make_store()
    store.capture({"Phone": "+91-9988776655"}, None, 0.0)
    for phone, created in (("+91-9988776655", False), ("919988776655", True)):
        assert store.capture({"Phone": phone}, None, 0.0)["IsCreated"] is created


def test_every_capture_posts_an_activity():
    """A repeated capture posts one more on the same lead."""
    store = make_store()
    first = store.capture({"EmailAddress": "a@b.c"}, None, 1.0)
    second = store.capture({"EmailAddress": "a@b.c"}, None, 2.0)
    (lead,) = store.leads.values()
    assert [(activity.event, activity.id, activity.at) for activity in lead.activities] == [
        ("Lead Capture", first["Id"], 1.0),
        ("Lead Capture", second["Id"], 2.0),
    ]


@pytest.mark.parametrize(
    ("behavior", "after"),
    [
        (None, {"FirstName": "New", "LastName": "New", "Phone": "2"}),
        ("DoNotUpdate", {"FirstName": "Old", "LastName": "", "Phone": "1"}),
        ("UpdateOnlyEmptyFields", {"FirstName": "Old", "LastName": "New", "Phone": "1"}),
        ("DoNotUpdateUniqueFields", {"FirstName": "New", "LastName": "New", "Phone": "1"}),
    ],
)
def test_what_an_update_changes(behavior: str | None, after: dict[str, str]):
    """LeadUpdateBehavior decides; without it all that is passed changes, and nothing else."""
    store = make_store()
    store.capture({"EmailAddress": "a@b.c", "FirstName": "Old", "LastName": "", "Phone": "1"}, None, 0.0)
    passed = {"EmailAddress": "a@b.c", "FirstName": "New", "LastName": "New", "Phone": "2"}
    assert store.capture(passed, behavior, 0.0)["IsCreated"] is False
    (lead,) = store.leads.values()
    assert lead.attributes == {"EmailAddress": "a@b.c", "ProspectID": lead.id, **after}
    assert len(lead.activities) == 2


@pytest.mark.parametrize(
    ("passed", "behavior", "message"),
    [
        ({"Phone": "1", "SearchBy": "FirstName"}, None, "Invalid SearchBy value provided"),
        ({"Phone": "1", "SearchBy": ""}, None, "Invalid SearchBy value provided"),
        ({"Phone": "1", "SearchBy": "EmailAddress"}, None, "Invalid SearchBy value provided"),
        ({"ProspectID": OLD, "SearchBy": "ProspectID"}, None, "Invalid SearchBy value provided"),
        ({"Phone": "1"}, "Overwrite", "Invalid LeadUpdateBehavior value provided"),
    ],
)
def test_what_cannot_be_searched_for_fails(passed: dict[str, str], behavior: str | None, message: str):
    """SearchBy names a passed, searchable field; for the id it is spelt ProspectId."""
    with pytest.raises(ApplicationError) as caught:
        make_store().capture(passed, behavior, 0.0)
    assert caught.value.exception_type == "MXInvalidInputException"
    assert caught.value.exception_message == message


def test_unknown_attributes_are_named_in_one_sentence():
    """All of them, in the order passed; ProspectID and SearchBy always exist, and so do a set's entries."""
    store = Records(lambda: "1", ["EmailAddress", "mx_KYC"])
    passed = {
        "mx_B": "1",
        "EmailAddress": "a@b.c",
        "SearchBy": "EmailAddress",
        "ProspectID": OLD,
        "mx_KYC": "",
        "mx_KYC.Status": "",
        "a": "",
    }
    with pytest.raises(ApplicationError) as caught:
        store.capture(passed, None, 0.0)
    assert caught.value.exception_type == "MXUnknownAttributeException"
    assert caught.value.exception_message == "Attribute(s) does not exist - mx_B, a."
    assert store.leads == {}


def test_a_new_lead_needs_its_mandatory_attributes():
    """They are named in one sentence; an empty one is missing, and a lead that exists needs none."""
    store = Records(lambda: "id", mandatory={"LastName", "FirstName"})
    for passed, missing in (
        ({"Phone": "1"}, "FirstName, LastName"),
        ({"Phone": "1", "FirstName": "B", "LastName": ""}, "LastName"),
    ):
        with pytest.raises(ApplicationError) as caught:
            store.capture(passed, None, 0.0)
        assert caught.value.exception_type == "MXMandatoryAttributeMissingException"
        assert caught.value.exception_message == f"Mandatory attribute(s) missing - {missing}."
    assert store.leads == {}
    store.capture({"Phone": "1", "FirstName": "B", "LastName": "L"}, None, 0.0)
    assert store.capture({"Phone": "1"}, None, 0.0)["IsCreated"] is False
