"""The sandbox's calls of the synchronous API: lead fields, the user, and bulk leads.

Errors have LeadSquared's body (https://apidocs.leadsquared.com/error-handling/) and status 500, or 400 for a
malformed request body.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from leadsquared_async.sandbox.answers import (
    SYNC_HOST,
    ApplicationError,
    MalformedError,
    RejectedError,
    Reply,
    json_reply,
    mx,
)
from leadsquared_async.sandbox.bodies import decode, read_lead
from leadsquared_async.sandbox.records import Records
from leadsquared_async.sandbox.settings import Settings

MOST_ROWS = 25


@dataclass(frozen=True, slots=True)
class LeadField:
    """A lead field, as `LeadsMetaData.Get` lists it (https://apidocs.leadsquared.com/meta-data/)."""

    name: str
    display: str
    type: str = "Text"
    most: int | None = 200
    """The maximum length in characters."""
    mandatory: bool = False
    identifies: bool = False
    options: tuple[str, ...] = ()
    default: str | None = None

    def as_metadata(self, *, options: bool) -> dict[str, object]:
        """LeadSquared's object for the field, with or without drop-down values; absent values have no key."""
        return {
            "SchemaName": self.name,
            "DisplayName": self.display,
            "DataType": self.type,
            "IsMandatory": self.mandatory,
            "IsLeadIdentifier": self.identifies,
            **({"Options": [{"Value": value} for value in self.options]} if options and self.options else {}),
            **({} if self.most is None else {"MaxLength": str(self.most)}),
            **({"RangeMin": "0"} if self.type == "Number" else {}),
            **({"AllowMultiple": False} if self.type == "Select" else {}),
            **({} if self.default is None else {"DefaultValue": self.default}),
        }


_YES_NO = ("Yes", "No")
_STAGES = ("Prospect", "Contacted", "Qualified", "Opportunity", "Customer", "Disqualified")

_FIELDS = (
    # LeadSquared's own:
    LeadField("ProspectID", "Lead Number", most=36, identifies=True),
    LeadField("FirstName", "First Name"),
    LeadField("LastName", "Last Name"),
    LeadField("EmailAddress", "Email", "Email", identifies=True),
    LeadField("Phone", "Phone Number", "Phone", 50, identifies=True),
    LeadField("Mobile", "Mobile Number", "Phone", 50, identifies=True),
    LeadField("Company", "Company"),
    LeadField("JobTitle", "Job Title"),
    LeadField("Website", "Website", "Website"),
    LeadField("Source", "Lead Source", "Select", options=("Website", "Referral", "Walk-in", "Campaign")),
    LeadField("SourceCampaign", "Source Campaign"),
    LeadField("SourceMedium", "Source Medium"),
    LeadField("SourceContent", "Source Content", most=2000),
    LeadField("ProspectStage", "Lead Stage", "Select", options=_STAGES, default="Prospect"),
    LeadField("OwnerId", "Owner", most=36),
    LeadField("Notes", "Notes", most=4000),
    LeadField("DoNotEmail", "Do Not Email", "Boolean", None, options=_YES_NO),
    LeadField("DoNotCall", "Do Not Call", "Boolean", None, options=_YES_NO),
    LeadField("DoNotSMS", "Do Not SMS", "Boolean", None, options=_YES_NO),
    LeadField("LeadType", "Lead Type", most=50),
    LeadField("mx_Street1", "Address 1"),
    LeadField("mx_Street2", "Address 2"),
    LeadField("mx_City", "City"),
    LeadField("mx_State", "State"),
    LeadField("mx_Country", "Country"),
    LeadField("mx_Zip", "Zip", most=20),
    # Invented custom fields:
    LeadField("mx_Course", "Course", "Select", options=("Design", "Engineering", "Management")),
    LeadField("mx_Intake", "Intake", "Select", options=("January", "July")),
    LeadField("mx_Preferred_Language", "Preferred Language", "Select", options=("English", "Hindi", "Tamil")),
    LeadField("mx_Budget", "Budget", "Number", None),
    LeadField("mx_Age", "Age", "Number", 3),
    LeadField("mx_Alternate_Email", "Alternate Email", "Email"),
    LeadField("mx_WhatsApp", "WhatsApp Number", "Phone", 50, identifies=True),
    LeadField("mx_Portfolio", "Portfolio", "Website"),
    LeadField("mx_Date_of_Birth", "Date of Birth", "Date", None),
    LeadField("mx_Visit_Date", "Visit Date", "Date", None),
    LeadField("mx_Call_Back_At", "Call Back At", "Time", None),
    LeadField("mx_Newsletter", "Newsletter", "Boolean", None, options=_YES_NO),
    LeadField("mx_Consent", "Consent", "Boolean", None, options=_YES_NO),
    LeadField("mx_Remarks", "Remarks", most=2000),
    LeadField("mx_Landing_Page", "Landing Page", "Website", 1000),
    LeadField("mx_UTM_Term", "UTM Term"),
)

_PADDING = ("Text", "Number", "Date", "Boolean", "Select", "Text", "Time")


def fields_of(settings: Settings) -> Sequence[LeadField]:
    """The fields that the setting `attributes` names; without names, those of a realistic account."""
    fields = [*_FIELDS, *(_padding(number) for number in range(1, settings.fields - len(_FIELDS) + 1))]
    if settings.attributes is not None and settings.attributes != "account":
        names = set(settings.attributes) - {"SearchBy"}
        known = [field for field in fields if field.name in names]
        others = sorted(names - {field.name for field in known})
        fields = [*known, *(LeadField(name, name.removeprefix("mx_")) for name in others)]
    return [replace(field, mandatory=field.name in settings.mandatory) for field in fields]


def displays_of(names: Collection[str], fields: Sequence[LeadField]) -> dict[str, str]:
    """Display names by schema name."""
    displays = {field.name: field.display for field in (*_FIELDS, *fields)}
    return {name: displays.get(name, name.removeprefix("mx_")) for name in names}


def list_fields(query: Mapping[str, str], fields: Sequence[LeadField]) -> Reply:
    """An array of fields; empty for an unknown name."""
    name = query.get("schemaName")
    options = query.get("excludeOptionSets") != "1"
    return json_reply(
        200, [field.as_metadata(options=options) for field in fields if name in {None, field.name}]
    )


def show_user() -> Reply:
    """The owner of the keys and the account's hosts (https://apidocs.leadsquared.com/user-authentication/).

    Only the host `api` matters to a client; it has been observed without a scheme.
    """
    user = {
        "Id": "5a4d6a6e-0000-4000-8000-000000000001",
        "Name": "Sandbox Admin",
        "Role": "Administrator",
        "EmailAddress": None,
        "TimeZone": "Asia/Kolkata",
        "OrgShortCode": "10000",
        "LSQCommonServiceURLs": {"api": SYNC_HOST, "app": "in21.leadsquared.com"},
    }
    return json_reply(200, user)


def read_bulk(body: bytes) -> list[dict[str, str]]:
    """The rows of `Lead/Bulk/CreateOrUpdate`; raises MalformedError, and RejectedError for their number."""
    _, content = decode(body)
    if not isinstance(content, list):
        raise MalformedError("The body is not an array of leads")
    rows = cast("list[object]", content)
    if not 1 <= len(rows) <= MOST_ROWS:
        message = f"Pass at least 1 lead and at most {MOST_ROWS} leads"
        raise RejectedError(mx(500, "MXInvalidInputException", message), message)
    return [read_lead(row, f"the body[{number}]") for number, row in enumerate(rows)]


def create_or_update(rows: Sequence[dict[str, str]], records: Records, at: float) -> list[dict[str, object]]:
    """Create or update the lead of each row, which is matched as in a capture, without an activity.

    Return the answer to each row. LeadSquared does not document failed rows: here they have ExceptionType and
    ErrorMessage, as observed.
    """
    return [
        {"RowNumber": number, **_create_or_update(row, records, at)}
        for number, row in enumerate(rows, start=1)
    ]


def _create_or_update(row: dict[str, str], records: Records, at: float) -> dict[str, object]:
    try:
        lead, matched_by = records.put_lead(row, at)
    except ApplicationError as error:
        nothing = {"LeadId": None, "LeadCreated": False, "LeadUpdated": False, "AffectedRows": 0}
        return {**nothing, "ExceptionType": error.exception_type, "ErrorMessage": error.exception_message}
    created = not matched_by
    return {"LeadId": lead.id, "LeadCreated": created, "LeadUpdated": not created, "AffectedRows": 1}


def _padding(number: int) -> LeadField:
    kind = _PADDING[number % len(_PADDING)]
    options = {"Select": ("A", "B", "C"), "Boolean": _YES_NO}.get(kind, ())
    return LeadField(
        f"mx_Custom_{number}", f"Custom {number}", kind, 100 if kind == "Text" else None, options=options
    )
