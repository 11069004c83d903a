"""What each submission of the Async API asks for: a checked body and query in, the work to be done out.

The bodies are those of LeadSquared's documentation. Each reader returns the work, which is done when the
request's turn in the queue comes, or raises MalformedError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from leadsquared_async.sandbox.bodies import (
    MalformedError,
    read_code,
    read_date,
    read_duration,
    read_fields,
    read_id,
    read_lead,
    read_object,
    read_text,
)
from leadsquared_async.sandbox.leads import IDENTITY
from leadsquared_async.sandbox.records import NewActivity, NewOpportunity, Records

Work = Callable[[float], object]
"""Does what was asked for at a time; returns the synchronous API's answer or raises ApplicationError."""

ACTIVITY = ("ActivityEvent", "ActivityNote", "ActivityDateTime", "Fields")
OPPORTUNITY = ("OpportunityEventCode", "OpportunityNote", "OpportunityDateTime", "Fields")
FLAGS = ("OverwriteFields", "UpdateEmptyFields", "DoNotPostDuplicateActivity", "DoNotChangeOwner")
CALL = (
    *("SourceNumber", "CallerSource", "DestinationNumber", "DisplayNumber", "StartTime", "EndTime"),
    *("CallDuration", "Status", "ResourceURL", "Direction", "CallSessionId", "LeadId", "Tag", "UserId"),
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What came with a submission; its repr shows none of it."""

    body: object = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    rest: tuple[str, ...] = field(default=(), repr=False)
    """The segments of the path behind the operation's own."""


def read_capture(submission: Submission, records: Records) -> Work:
    """`[{"Attribute": …, "Value": …}, …]`, one of them possibly SearchBy."""
    passed = read_lead(submission.body)
    behavior = submission.query.get("LeadUpdateBehavior")
    return lambda at: _success(records.leads.capture(passed, behavior, at))


def read_update(submission: Submission, records: Records) -> Work:
    """The same array, for the lead that the query's `leadId` names."""
    passed = read_lead(submission.body)
    lead_id = submission.query.get("leadId")
    if not lead_id:
        raise MalformedError("leadId is missing")
    posted = read_flag(submission.query, "postUpdatedLead")
    return lambda _at: _success(records.leads.update(lead_id, passed, posted=posted))


def read_activity(submission: Submission, records: Records) -> Work:
    """An activity of the lead that RelatedProspectId names."""
    body = read_object(submission.body, "The body", ("RelatedProspectId", *ACTIVITY))
    lead_id = read_id(body, "RelatedProspectId")
    activity = _read_activity(body)
    return lambda at: _success(records.post_activity(lead_id, activity, at))


def read_lead_and_activity(submission: Submission, records: Records) -> Work:
    """A lead to be captured, and its activity."""
    body = read_object(submission.body, "The body", ("LeadDetails", "Activity"))
    passed = _read_searched(body.get("LeadDetails"))
    activity = _read_activity(read_object(body.get("Activity"), "Activity", ACTIVITY))
    return lambda at: _success(records.post_lead_and_activity(passed, activity, at))


def read_opportunity(submission: Submission, records: Records) -> Work:
    """A lead to be captured, and its opportunity."""
    body = read_object(submission.body, "The body", ("LeadDetails", "Opportunity"))
    passed = _read_searched(body.get("LeadDetails"))
    if not any(passed.get(name) for name in (*IDENTITY, "ProspectID", passed["SearchBy"])):
        raise MalformedError("LeadDetails holds no unique field")
    content = read_object(body.get("Opportunity"), "Opportunity", (*OPPORTUNITY, *FLAGS))
    opportunity = NewOpportunity(
        event_code=read_code(content, "OpportunityEventCode"),
        note=read_text(content, "OpportunityNote"),
        date=read_date(content, "OpportunityDateTime"),
        fields=read_fields(content.get("Fields", []), "Fields", set_key="SchemaName"),
        flags=_read_flags(content, submission.query),
    )
    return lambda at: records.capture_opportunity(passed, opportunity, at)


def read_opportunity_update(submission: Submission, records: Records) -> Work:
    """Other fields and another note for the opportunity that ProspectOpportunityId names."""
    names = ("ProspectOpportunityId", "OpportunityNote", "Fields")
    body = read_object(submission.body, "The body", names)
    opportunity_id = read_id(body, "ProspectOpportunityId")
    note = read_text(body, "OpportunityNote")
    fields = read_fields(body.get("Fields", []), "Fields", set_key="SchemaName")
    return lambda _at: _success(records.update_opportunity(opportunity_id, note, fields))


def read_call_log(submission: Submission, records: Records) -> Work:
    """A phone call that is over; the path names the telephony connector."""
    body = read_object(submission.body, "The body", CALL)
    if not body:
        raise MalformedError("The body holds no call")
    fields = {
        name: value
        for name in CALL
        if (value := _CALL_READERS.get(name, read_text)(body, name)) or name in body
    }
    return lambda at: _success(records.log_call(submission.rest, fields, at))


_CALL_READERS = {"StartTime": read_date, "EndTime": read_date, "CallDuration": read_duration}


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """`true` or `false` in the query; nothing is false."""
    value = query.get(name, "false")
    if value not in {"true", "false"}:
        raise MalformedError(f"{name} is neither true nor false")
    return value == "true"


def _read_searched(value: object) -> dict[str, str]:
    passed = read_lead(value, "LeadDetails")
    if "SearchBy" not in passed:
        raise MalformedError("LeadDetails holds no SearchBy")
    return passed


def _read_activity(content: dict[str, object]) -> NewActivity:
    return NewActivity(
        event=read_code(content, "ActivityEvent"),
        note=read_text(content, "ActivityNote"),
        date=read_date(content, "ActivityDateTime"),
        fields=read_fields(content.get("Fields", []), "Fields", set_key="Attribute"),
    )


def _read_flags(content: Mapping[str, object], query: Mapping[str, str]) -> tuple[str, ...]:
    """The flags that are set: `true` in the query or in the opportunity, where they have been seen."""
    for name in FLAGS:
        if not isinstance(content.get(name, False), bool):
            raise MalformedError(f"{name} is neither true nor false")
    flags = tuple(name for name in FLAGS if read_flag(query, name) or content.get(name))
    if {"OverwriteFields", "UpdateEmptyFields"} <= set(flags):
        raise MalformedError("OverwriteFields and UpdateEmptyFields exclude each other")
    return flags


def _success(message: object) -> object:
    return {"Status": "Success", "Message": message}
