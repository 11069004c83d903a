"""What the parts of a body must look like before they are taken: attributes, fields, numbers, dates.

Each reader returns what it read, or raises MalformedError.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from leadsquared_async.sandbox.records import IDENTITY, NewActivity, NewOpportunity, Records

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


class MalformedError(Exception):
    """The request is not what the operation takes; the message says why without showing a value.

    `where` is the place of what is wrong, as far as it is not in the message.
    """

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why)
        self.where = where


def decode(body: bytes) -> tuple[str, object]:
    """The body as text and as JSON."""
    text = ""
    try:
        text = body.decode()
        return text, json.loads(text)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} is not UTF-8"
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if text.strip() else "it is empty"
    except (ValueError, RecursionError):
        where = "a number is too long, or it is nested too deeply"
    raise MalformedError("The body is not JSON in UTF-8", where)


def read_pairs(value: object, within: str = "") -> dict[str, str]:
    """Attribute and value of each entry; the entries of a custom field set are named `mx_Set.Entry`."""
    found: dict[str, str] = {}
    for place, entry in _entries(value, within, "Attribute and Value"):
        found |= _read_attribute(place, entry, found)
    return found


def read_lead(value: object, within: str = "") -> dict[str, str]:
    """The pairs of a lead: at least one beside SearchBy."""
    passed = read_pairs(value, within)
    if not passed.keys() - {"SearchBy"}:
        raise MalformedError(f"{within or 'The body'} holds no attribute")
    return passed


def read_fields(value: object, within: str, *, set_key: str) -> dict[str, str]:
    """Schema name and value of each entry of an activity's or an opportunity's Fields.

    An entry may be a custom field set, whose name and whose entries' names stand under `set_key`.
    """
    found: dict[str, str] = {}
    for place, entry in _entries(value, within, "SchemaName and Value"):
        if "Fields" in entry:
            found |= _read_set(place, entry, found, set_key)
        else:
            found |= _read_pair(place, entry, "SchemaName", found)
    return found


def read_object(value: object, place: str, names: Collection[str]) -> dict[str, object]:
    """An object that has no other keys than `names`."""
    if not isinstance(value, dict):
        raise MalformedError(f"{place} is not an object")
    found = cast("dict[str, object]", value)
    if found.keys() - set(names):
        raise MalformedError(f"{place} holds more than {', '.join(names)}")
    return found


def read_text(holder: dict[str, object], name: str) -> str:
    """A string, or an empty one where there is none."""
    value = holder.get(name, "")
    if not isinstance(value, str):
        raise MalformedError(f"{name} is not a string")
    return value


def read_id(holder: dict[str, object], name: str) -> str:
    """The id of something that exists already."""
    value = read_text(holder, name)
    if not value:
        raise MalformedError(f"{name} is missing")
    return value


def read_code(holder: dict[str, object], name: str) -> int:
    """A whole number, which a string is not."""
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedError(f"{name} is not a whole number")
    return value


def read_date(holder: dict[str, object], name: str) -> str:
    """A date and time as `YYYY-MM-DD HH:MM:SS`, or an empty string where there is none."""
    value = holder.get(name)
    if value is None and name not in holder:
        return ""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise MalformedError(f"{name} is not a date written YYYY-MM-DD HH:MM:SS")


def read_duration(holder: dict[str, object], name: str) -> str:
    """Whole seconds, as a number or as a string of digits; both have been seen."""
    value = holder.get(name, "")
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]*", text):
        raise MalformedError(f"{name} is not a number of seconds")
    return text


def _entries(value: object, within: str, of: str) -> list[tuple[str, dict[str, object]]]:
    if not isinstance(value, list):
        raise MalformedError(f"{within or 'The body'} is not an array of {of}")
    found: list[tuple[str, dict[str, object]]] = []
    for position, entry in enumerate(cast("list[object]", value)):
        place = f"{within or 'the body'}[{position}]"
        if not isinstance(entry, dict):
            raise MalformedError(f"{place} is not an object")
        found.append((place, cast("dict[str, object]", entry)))
    return found


def _read_attribute(place: str, entry: dict[str, object], found: dict[str, str]) -> dict[str, str]:
    """One attribute, together with the entries of its field set if it is one."""
    if "Fields" not in entry:
        return _read_pair(place, entry, "Attribute", found)
    return _read_set(place, entry, found, "Attribute")


def _read_set(place: str, entry: dict[str, object], found: dict[str, str], key: str) -> dict[str, str]:
    """A custom field set and its entries, named `mx_Set.Entry`."""
    alone = {name: value for name, value in entry.items() if name != "Fields"}
    read = _read_pair(place, alone, key, found)
    (attribute,) = read
    inner: dict[str, str] = {}
    for inside, nested in _entries(entry["Fields"], f"{place}.Fields", f"{key} and Value"):
        inner |= _read_pair(inside, nested, key, inner)
    return read | {f"{attribute}.{name}": value for name, value in inner.items()}


def _read_pair(place: str, entry: dict[str, object], key: str, found: dict[str, str]) -> dict[str, str]:
    name, value = entry.get(key), entry.get("Value")
    if not isinstance(name, str) or not name:
        raise MalformedError(f"{place}: {key} is not a schema name")
    if not isinstance(value, str):
        raise MalformedError(f"{place}: Value is not a string")
    if name in found:
        raise MalformedError(f"{place}: {key} was given before")
    if entry.keys() - {key, "Value"}:
        raise MalformedError(f"{place} holds more than {key} and Value")
    return {name: value}


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
