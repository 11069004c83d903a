"""The calls of the synchronous API that the sandbox plays: lead fields, the user, and leads in bulk.

Errors come under 500 with LeadSquared's body (https://apidocs.leadsquared.com/error-handling/), a body that
is not what the call takes under 400.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from leadsquared_async.sandbox.answers import ApplicationError, RefusedError, mx
from leadsquared_async.sandbox.bodies import MalformedError, decode, read_lead
from leadsquared_async.sandbox.fields import LeadField
from leadsquared_async.sandbox.leads import LeadStore
from leadsquared_async.sandbox.messages import Reply, hinted, json_reply

MOST_ROWS = 25


def list_fields(query: Mapping[str, str], fields: Sequence[LeadField]) -> Reply:
    """A bare array of fields (https://apidocs.leadsquared.com/meta-data/), of none for an unknown name."""
    name = query.get("schemaName")
    options = query.get("excludeOptionSets") != "1"
    found = [field.as_metadata(options=options) for field in fields if name in {None, field.name}]
    return json_reply(200, found)


def show_user(api_host: str) -> Reply:
    """Whose keys they are, and where the account lives (https://apidocs.leadsquared.com/user-authentication/).

    Of the values that name hosts only `api` matters to a client; it has been seen without a scheme.
    """
    return json_reply(
        200,
        {
            "Id": "5a4d6a6e-0000-4000-8000-000000000001",
            "Name": "Sandbox Admin",
            "Role": "Administrator",
            "EmailAddress": None,
            "TimeZone": "Asia/Kolkata",
            "Type": "ApplicationUser",
            "UserType": "Regular",
            "OrgDisplayName": "Sandbox",
            "OrgId": "5a4d6a6e-0000-4000-8000-000000000002",
            "OrgShortCode": "10000",
            "DefaultCountryCode": "91",
            "LSQCommonServiceURLs": {
                "api": api_host,
                "app": "in21.leadsquared.com",
                "tracking": "web-in21.mxradon.com",
            },
        },
    )


def read_bulk(body: bytes) -> list[dict[str, str]]:
    """The rows of `Lead/Bulk/CreateOrUpdate`; raises MalformedError, and RefusedError for too many."""
    _, content = decode(body)
    if not isinstance(content, list):
        raise MalformedError("The body is not an array of leads")
    rows = cast("list[object]", content)
    if not 1 <= len(rows) <= MOST_ROWS:
        message = f"Pass at least 1 lead and at most {MOST_ROWS} leads"
        raise RefusedError(hinted(mx(500, "MXInvalidInputException", message), message))
    return [read_lead(row, f"the body[{number}]") for number, row in enumerate(rows)]


def create_or_update(
    rows: Sequence[dict[str, str]], store: LeadStore, is_missing: Callable[[], bool]
) -> Reply:
    """Match each row as a capture does, and create or update its lead; no activity is posted.

    How a row that failed looks is documented nowhere: here it has ExceptionType and ErrorMessage, as seen in
    the field. Rows of which `is_missing` says so are done and left out of the answer.
    """
    answers = [
        {"RowNumber": number, **_create_or_update(row, store)} for number, row in enumerate(rows, start=1)
    ]
    return json_reply(200, [answer for answer in answers if not is_missing()])


def _create_or_update(row: dict[str, str], store: LeadStore) -> dict[str, object]:
    try:
        lead, created = store.put(row)
    except ApplicationError as error:
        return {
            "LeadId": None,
            "LeadCreated": False,
            "LeadUpdated": False,
            "AffectedRows": 0,
            "ExceptionType": error.exception_type,
            "ErrorMessage": error.exception_message,
        }
    return {"LeadId": lead.id, "LeadCreated": created, "LeadUpdated": not created, "AffectedRows": 1}
