"""The parameters of each call in the OpenAPI description: query, body and an example body.

The readers in `bodies` check more than a schema can: that no attribute is a duplicate, that a date exists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leadsquared_async.sandbox.bodies import ACTIVITY, ACTIVITY_FLAGS, CALL, FLAGS, OPPORTUNITY
from leadsquared_async.sandbox.openapi.json_schema import TEXT, Schema, array_of, closed_object
from leadsquared_async.sandbox.operations import Call
from leadsquared_async.sandbox.records import BEHAVIORS, IDENTITY
from leadsquared_async.sandbox.sync import MOST_ROWS

LEAD_ID = "aaaaaaaa-0000-4000-8000-000000000001"
"""The lead of the examples."""


@dataclass(frozen=True, slots=True)
class Documented:
    """What a call takes besides the keys."""

    summary: str
    body: Schema | None = None
    example: object = None
    """Of the body."""
    query: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    required: tuple[str, ...] = ()
    """The parameters of the query that it needs."""


def ref(name: str) -> Schema:
    """A reference to a schema in the components."""
    return {"$ref": f"#/components/schemas/{name}"}


_ID: Schema = {"type": "string", "minLength": 1}
_BOOLEAN: Schema = {"type": "boolean"}


def _pair(key: str) -> Schema:
    return closed_object({key: {"type": "string", "minLength": 1}, "Value": TEXT})


def _field_set(key: str) -> Schema:
    return closed_object({**_pair(key)["properties"], "Fields": array_of(_pair(key))})


def _fields(set_name: str) -> Schema:
    return array_of({"oneOf": [ref("Field"), ref(set_name)]})


def _has(attribute: Schema) -> Schema:
    """An array with an entry of such an attribute."""
    entry: Schema = {"type": "object", "properties": {"Attribute": attribute, "Value": TEXT}}
    return {"contains": {**entry, "required": ["Attribute", "Value"]}}


SCHEMAS: Mapping[str, Schema] = {
    "Attribute": _pair("Attribute") | {"description": "The schema name of a lead field, and its value."},
    "AttributeSet": _field_set("Attribute") | {"description": "A custom field set."},
    "Field": _pair("SchemaName") | {"description": "A field of an activity or an opportunity."},
    "FieldSet": _field_set("SchemaName") | {"description": "A custom field set of an opportunity."},
    "Lead": {
        "description": "At least one attribute, each at most once. SearchBy names the attribute to match by.",
        **array_of({"oneOf": [ref("Attribute"), ref("AttributeSet")]}),
        **_has({"type": "string", "not": {"const": "SearchBy"}}),
    },
    "SearchedLead": {
        "description": "A lead with SearchBy.",
        **array_of({"oneOf": [ref("Attribute"), ref("AttributeSet")]}, minItems=2),
        **_has({"const": "SearchBy"}),
    },
    "DateTime": {
        "description": "A date and time in UTC, as `YYYY-MM-DD HH:MM:SS`.",
        "type": "string",
        "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3])(:[0-5][0-9]){2}$",
    },
}
"""The parts that several bodies share."""

_KINDS: Mapping[str, Schema] = {
    "ActivityEvent": {"type": "integer"},
    "OpportunityEventCode": {"type": "integer"},
    "ActivityDateTime": ref("DateTime"),
    "OpportunityDateTime": ref("DateTime"),
    "StartTime": ref("DateTime"),
    "EndTime": ref("DateTime"),
    "CallDuration": {
        "description": "The duration in seconds.",
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]*$"}],
    },
    **dict.fromkeys((*ACTIVITY_FLAGS, *FLAGS), _BOOLEAN),
}
"""The properties that are not text."""


def _properties(names: tuple[str, ...], **others: Schema) -> dict[str, Schema]:
    return {name: others.get(name, _KINDS.get(name, TEXT)) for name in names}


_ACTIVITY = _properties(ACTIVITY, Fields=_fields("AttributeSet"))
_OPPORTUNITY = closed_object(
    _properties((*OPPORTUNITY, *FLAGS), Fields=_fields("FieldSet")), ["OpportunityEventCode"]
)
_ONE_UNIQUE = (
    f"At least one of {', '.join(sorted(IDENTITY))}, ProspectID and the SearchBy attribute must have a value."
)
_NOT_BOTH: Schema = {
    "required": ["OverwriteFields", "UpdateEmptyFields"],
    "properties": {"OverwriteFields": {"const": True}, "UpdateEmptyFields": {"const": True}},
}
_BRET = [
    {"Attribute": "FirstName", "Value": "Bret"},
    {"Attribute": "EmailAddress", "Value": "bret.lee@example.com"},
]
_SEARCHED = [*_BRET, {"Attribute": "SearchBy", "Value": "EmailAddress"}]
_VISIT = {
    "ActivityEvent": 201,
    "ActivityNote": "Visited the campus",
    "ActivityDateTime": "2026-01-31 09:30:00",
    "Fields": [{"SchemaName": "mx_Custom_1", "Value": "Main gate"}],
}


def _finder(parameter: str, what: str, example: str) -> Documented:
    return Documented(
        f"Get the lead with this {what}",
        query={parameter: TEXT | {"minLength": 1, "examples": [example]}},
        required=(parameter,),
    )


CALLS: Mapping[str, Documented] = {
    "capture": Documented(
        "Create or update a lead",
        ref("Lead"),
        _BRET,
        {"LeadUpdateBehavior": {"enum": sorted(BEHAVIORS)}},
    ),
    "update": Documented(
        "Update a lead",
        ref("Lead"),
        [{"Attribute": "mx_City", "Value": "Bengaluru"}],
        {"leadId": {**_ID, "examples": [LEAD_ID]}, "postUpdatedLead": _BOOLEAN},
        required=("leadId",),
    ),
    "activity": Documented(
        "Post an activity on a lead",
        closed_object({"RelatedProspectId": _ID, **_ACTIVITY}, ["RelatedProspectId", "ActivityEvent"]),
        {"RelatedProspectId": LEAD_ID, **_VISIT},
    ),
    "lead-and-activity": Documented(
        "Create or update a lead and post an activity on it",
        closed_object(
            {"LeadDetails": ref("SearchedLead"), "Activity": closed_object(_ACTIVITY, ["ActivityEvent"])}
        ),
        {"LeadDetails": _SEARCHED, "Activity": _VISIT},
    ),
    "opportunity": Documented(
        "Create an opportunity and create or update its lead",
        closed_object(
            {
                "LeadDetails": ref("SearchedLead") | {"description": _ONE_UNIQUE},
                "Opportunity": _OPPORTUNITY | {"not": _NOT_BOTH},
            }
        ),
        {
            "LeadDetails": _SEARCHED,
            "Opportunity": {
                "OpportunityEventCode": 12000,
                "OpportunityNote": "Asked for a brochure",
                "OpportunityDateTime": "2026-01-31 09:30:00",
                "Fields": [{"SchemaName": "mx_Custom_1", "Value": "Design"}],
                "DoNotChangeOwner": True,
            },
        },
        dict.fromkeys(FLAGS, _BOOLEAN),
    ),
    "opportunity-update": Documented(
        "Update an opportunity",
        closed_object(
            {"ProspectOpportunityId": _ID, "OpportunityNote": TEXT, "Fields": _fields("FieldSet")},
            ["ProspectOpportunityId"],
        ),
        {
            "ProspectOpportunityId": "aaaaaaaa-0000-4000-8000-000000000002",
            "Fields": [{"SchemaName": "mx_Custom_1", "Value": "Engineering"}],
        },
    ),
    "call-log": Documented(
        "Log a phone call",
        closed_object(_properties(CALL), []) | {"minProperties": 1},
        {
            "SourceNumber": "+91-5550100",
            "DestinationNumber": "+91-5550199",
            "StartTime": "2026-01-31 09:30:00",
            "EndTime": "2026-01-31 09:31:30",
            "CallDuration": 90,
            "Status": "Answered",
            "Direction": "Inbound",
        },
    ),
    "fields": Documented(
        "List the lead fields",
        query={
            "schemaName": TEXT | {"description": "List only this field."},
            "excludeOptionSets": TEXT | {"description": "`1` leaves out the values of drop-down fields."},
        },
    ),
    "user": Documented("Get the owner of the keys and the account's hosts"),
    "lead-by-email": _finder("emailaddress", "e-mail address", "bret.lee@example.com"),
    "lead-by-phone": _finder(
        "phone", "phone number, digits only, with or without the country code", "8888888888"
    ),
    "lead-by-id": _finder("id", "id", LEAD_ID),
    "bulk": Documented(
        f"Create or update up to {MOST_ROWS} leads in one call",
        array_of(ref("Lead"), minItems=1, maxItems=MOST_ROWS),
        [_BRET, [{"Attribute": "FirstName", "Value": "Ada"}, {"Attribute": "Phone", "Value": "+91-5550123"}]],
    ),
}
"""The submissions and the synchronous calls, by name."""


def documented(call: Call) -> Documented:
    """What a call takes."""
    of = " or ".join(operation.task_type for operation in call.operations)
    match call.kind:
        case "status":
            request_id: Schema = {"type": "string", "format": "uuid"}
            return Documented(
                f"Get the status of a request: {of}", query={"RequestID": request_id}, required=("RequestID",)
            )
        case "metrics":
            return Documented(f"Get the metrics of a queue: {of}")
        case _:
            return CALLS[call.name]
