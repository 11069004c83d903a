"""What LeadSquared documents, copied by hand from its pages: paths, bodies and answers."""

from typing import Any

from .calls import KEYS

LEAD = "aaaaaaaa-0000-4000-8000-000000000001"
CONNECTOR = "/1/api/telephony/logcallcomplete/159f38f24a332f0c44374f8ebf0fc2bf7d"
INSTANCE = "c378b61d-e30c-4c45-a436-f08c4fce1edf"

UPDATE = [{"Attribute": "FirstName", "Value": "Bret"}, {"Attribute": "mx_City", "Value": ""}]
ACTIVITY = {
    "ActivityEvent": 201,
    "ActivityNote": "Your Activity Note",
    "ActivityDateTime": "2015-10-11 12:13:44",
    "Fields": [
        {"SchemaName": "mx_Custom_1", "Value": "123123123"},
        {
            "Attribute": "mx_KYC",
            "Value": "",
            "Fields": [
                {"Attribute": "Status", "Value": "Pending"},
                {"Attribute": "mx_CustomObject_2", "Value": "XYZ12345.png"},
            ],
        },
    ],
}
LEAD_DETAILS = [
    {"Attribute": "EmailAddress", "Value": "email@example.com"},
    {"Attribute": "mx_City", "Value": "Bangalore"},
    {"Attribute": "SearchBy", "Value": "EmailAddress"},
]
OPPORTUNITY = {
    "OpportunityEventCode": 12231,
    "OpportunityNote": "Opportunity capture api",
    "OpportunityDateTime": "2020-12-05 12:13:44",
    "Fields": [{"SchemaName": "mx_Custom_1", "Value": "1"}, {"SchemaName": "mx_Custom_2", "Value": "1"}],
}
CALL = {
    "SourceNumber": "+91-8611795988",
    "CallerSource": "Example Source",
    "DestinationNumber": "+91-9611795983",
    "DisplayNumber": "+91-8611795989",
    "StartTime": "2017-07-07 18:26:38",
    "EndTime": "2017-07-07 18:27:12",
    "CallDuration": 34,
    "Status": "Answered",
    "ResourceURL": "example.com",
    "Direction": "Inbound",
    "CallSessionId": "12345",
    "LeadId": LEAD,
    "Tag": "Tag - Lead",
    "UserId": "40e06a3d-4787-11e7-b781-023cca4497b9",
}

# name: (submit, query beyond the keys, documented body, status, its id, metrics, its rate, TaskType)
TABLE: dict[str, tuple[str, str, Any, str, str, str, str, str]] = {
    "update": (
        "/lead/update",
        f"{KEYS}&leadId={LEAD}&postUpdatedLead=true",
        UPDATE,
        "/lead/update/status",
        "RequestID",
        "/lead/update/metrics",
        "ProcessingRatePerMinute",
        "Lead Update",
    ),
    "activity": (
        "/activity/create",
        KEYS,
        {"RelatedProspectId": LEAD, **ACTIVITY},
        "/activity/create/status",
        "RequestId",
        "/activity/create/metrics",
        "ProcessingRatePerMinute",
        "Activity Create",
    ),
    "lead-and-activity": (
        "/activity/createcustom",
        KEYS,
        {"LeadDetails": LEAD_DETAILS, "Activity": ACTIVITY},
        "/activity/createcustom/status",
        "RequestID",
        "/activity/createcustom/metrics",
        "ProcessingratePerMinute",
        "Activity Create Custom",
    ),
    "opportunity": (
        "/opportunity/capture",
        f"{KEYS}&DoNotChangeOwner=true&OverwriteFields=false",
        {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY},
        "/opportunity/capture/status",
        "RequestId",
        "/opportunity/capture/metrics",
        "ProcessingRatePerMinute",
        "Opportunity Capture",
    ),
    "call-log": (
        CONNECTOR,
        "",
        CALL,
        "/1/api/telephony/logcallcomplete/status",
        "RequestId",
        "/1/api/telephony/logcallcomplete/metrics",
        "ProcessingRatePerMinute",
        "Telephony-LogCall",
    ),
}

# what each fault answers that is not one of the wire: (status, part of the body)
ANSWERS: dict[str, tuple[int, str]] = {
    "401": (401, "MXUnAuthorizedAccessException"),
    "401-region": (401, "asyncapi-in21.leadsquared.com"),
    "403": (403, '{"message":"Forbidden"}'),
    "no-path": (403, '{"message":"Missing Authentication Token"}'),
    "429": (429, "API calls exceeded the limit of 25 in 5 second(s)"),
    "quota": (429, '{"message":"Limit Exceeded"}'),
    "500": (500, '{"message":"Internal server error"}'),
    "500-mx": (500, '"ExceptionMessage":"A Lead with same Email already exists."'),
    "502": (502, '{"message":"Internal server error"}'),
    "503": (503, '{"message":"Service Unavailable"}'),
    "504": (504, '{"message":"Endpoint request timed out"}'),
    "200-mx": (200, '"ExceptionType":"MXDuplicateEntryException"'),
    "html": (200, "<!doctype html>"),
    "empty": (200, ""),
    "empty-object": (200, "{}"),
    "huge": (200, "x" * 1_000_000),
    "redirect": (307, ""),
}
