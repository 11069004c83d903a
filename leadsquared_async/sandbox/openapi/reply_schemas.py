"""The schemas of LeadSquared's replies, for the OpenAPI description."""

from collections.abc import Iterable, Mapping

from leadsquared_async.sandbox.answers import JSON_TYPE
from leadsquared_async.sandbox.lead_search import FINDERS
from leadsquared_async.sandbox.openapi.call_schemas import ref
from leadsquared_async.sandbox.openapi.json_schema import TEXT, Schema, array_of, closed_object, schema_of
from leadsquared_async.sandbox.operations import Call

_ID: Schema = {"type": "string", "format": "uuid"}
_BOOLEAN: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL = schema_of(str | None)

SCHEMAS: Mapping[str, Schema] = {
    "Accepted": closed_object({"Status": TEXT, "RequestID": _ID}),
    "Error": closed_object({"Status": {"const": "Error"}, "ExceptionType": TEXT, "ExceptionMessage": TEXT}),
    "GatewayError": closed_object({"message": TEXT}),
    "TaskStatus": closed_object(
        {
            "TaskType": TEXT,
            "Status": {"enum": ["In-Queue", "Success", "FAILURE", "ERROR"]},
            "StatusReason": TEXT,
            "TaskCurrentStep": _TEXT_OR_NULL,
            "TaskLastStep": _TEXT_OR_NULL,
            "RequestBody": TEXT | {"description": "The body as submitted.", "contentMediaType": JSON_TYPE},
            "Message": _TEXT_OR_NULL
            | {"description": "JSON if the request succeeded, else null. RelatedId is the lead's id."},
        }
    ),
    "LeadField": closed_object(
        {
            **dict.fromkeys(("SchemaName", "DisplayName", "DataType"), TEXT),
            **dict.fromkeys(("IsMandatory", "IsLeadIdentifier"), _BOOLEAN),
            "Options": array_of(closed_object({"Value": TEXT})),
            **dict.fromkeys(("MaxLength", "RangeMin"), TEXT),
            "AllowMultiple": _BOOLEAN,
            "DefaultValue": TEXT,
        },
        ["SchemaName", "DisplayName", "DataType", "IsMandatory", "IsLeadIdentifier"],
    ),
    "User": closed_object(
        {
            **dict.fromkeys(("Id", "Name", "Role", "TimeZone", "OrgShortCode"), TEXT),
            "EmailAddress": _TEXT_OR_NULL,
            "LSQCommonServiceURLs": closed_object({"api": TEXT, "app": TEXT}),
        }
    ),
    "FoundLead": {
        "type": "object",
        "description": "Values by schema name.",
        "properties": {"ProspectID": TEXT, "CreatedOn": TEXT, "ModifiedOn": TEXT},
        "required": ["ProspectID", "CreatedOn", "ModifiedOn"],
        "additionalProperties": _TEXT_OR_NULL,
    },
    "BulkRow": closed_object(
        {
            "RowNumber": {"type": "integer", "minimum": 1},
            "LeadId": _TEXT_OR_NULL,
            **dict.fromkeys(("LeadCreated", "LeadUpdated"), _BOOLEAN),
            "AffectedRows": _COUNT,
            **dict.fromkeys(("ExceptionType", "ErrorMessage"), TEXT),
        },
        ["RowNumber", "LeadId", "LeadCreated", "LeadUpdated", "AffectedRows"],
    ),
}
"""The parts that several replies share."""

_SYNC: Mapping[str, Schema] = {
    "fields": array_of(ref("LeadField")),
    "user": ref("User"),
    "bulk": array_of(ref("BulkRow")),
    **dict.fromkeys(FINDERS, array_of(ref("FoundLead"), maxItems=1)),
}


def reply_schema(call: Call) -> Schema:
    """The body of a 200: the call's own, or an error, which LeadSquared also sends with status 200."""
    match call.kind:
        case "submit":
            own = [ref("Accepted")]
        case "status":
            own = _unique(
                closed_object({operation.id_name: _ID, "TaskStatus": ref("TaskStatus")})
                for operation in call.operations
            )
        case "metrics":
            own = _unique(
                closed_object(
                    {
                        "PendingMessages": _COUNT,
                        "MaxDelayInSeconds": _COUNT,
                        operation.rate_name: {"type": "number"},
                    }
                )
                for operation in call.operations
            )
        case "sync":
            own = [_SYNC[call.name]]
    return {"anyOf": [*own, ref("Error")]}


def _unique(schemas: Iterable[Schema]) -> list[Schema]:
    found: list[Schema] = []
    for schema in schemas:
        if schema not in found:
            found.append(schema)
    return found
