"""Readers of request bodies: they check a body as LeadSquared documents it, and return the work to do.

They raise MalformedError for an invalid body. The processing queue does the work later.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from leadsquared_async.sandbox.answers import MalformedError
from leadsquared_async.sandbox.records import IDENTITY, Activity, Opportunity, Records, Stored

Work = Callable[[float], Stored]
"""Processes a request at the given time; raises ApplicationError if LeadSquared would fail it."""

ACTIVITY_FLAGS = ("ValidateDropDownOptions", "ProcessFilesAsync", "IncludeLeadScore")
"""Documented for the synchronous calls that have the same bodies."""
ACTIVITY = ("ActivityEvent", "ActivityNote", "ActivityDateTime", "Fields", *ACTIVITY_FLAGS)
OPPORTUNITY = ("OpportunityEventCode", "OpportunityNote", "OpportunityDateTime", "Fields")
FLAGS = ("OverwriteFields", "UpdateEmptyFields", "DoNotPostDuplicateActivity", "DoNotChangeOwner")
CALL = (
    *("SourceNumber", "CallerSource", "DestinationNumber", "DisplayNumber", "StartTime", "EndTime"),
    *("CallDuration", "Status", "ResourceURL", "Direction", "CallSessionId", "LeadId", "Tag", "UserId"),
)

_Object = dict[str, object]


@dataclass(frozen=True, slots=True)
class Submission:
    """A decoded submission; its repr shows no content."""

    body: object = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    rest: tuple[str, ...] = field(default=(), repr=False)
    """The path segments after the operation's own."""


def decode(body: bytes) -> tuple[str, object]:
    """Decode the body as text and as JSON."""
    text = ""
    try:
        text = body.decode()
        return text, json.loads(text)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} is not UTF-8"
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if text.strip() else "it is empty"
    except (ValueError, RecursionError):
        where = "a number is too long, or the nesting is too deep"
    raise MalformedError("The body is not valid JSON in UTF-8", where)


def read_capture(submission: Submission, records: Records) -> Work:
    """`[{"Attribute": …, "Value": …}, …]`, one of which may be SearchBy."""
    passed = read_lead(submission.body)
    behavior = submission.query.get("LeadUpdateBehavior")
    return lambda at: records.capture(passed, behavior, at)


def read_update(submission: Submission, records: Records) -> Work:
    """The same array, for the lead in the query's `leadId`."""
    passed = read_lead(submission.body)
    lead_id = _read_id(submission.query, "leadId")
    posted = _read_flag(submission.query, "postUpdatedLead")
    return lambda at: records.update_lead(lead_id, passed, at, posted=posted)


def read_activity(submission: Submission, records: Records) -> Work:
    """An activity of the lead in RelatedProspectId."""
    body = _read_object(submission.body, "The body", ("RelatedProspectId", *ACTIVITY))
    lead_id = _read_id(body, "RelatedProspectId")
    activity = _read_activity(body)
    return lambda at: records.post_activity(lead_id, activity, at)


def read_lead_and_activity(submission: Submission, records: Records) -> Work:
    """A lead to create or update, and its activity."""
    body = _read_object(submission.body, "The body", ("LeadDetails", "Activity"))
    passed = _read_searched(body.get("LeadDetails"))
    activity = _read_activity(_read_object(body.get("Activity"), "Activity", ACTIVITY))
    return lambda at: records.post_lead_and_activity(passed, activity, at)


def read_opportunity(submission: Submission, records: Records) -> Work:
    """A lead to create or update, and its opportunity."""
    body = _read_object(submission.body, "The body", ("LeadDetails", "Opportunity"))
    passed = _read_searched(body.get("LeadDetails"))
    if not any(passed.get(name) for name in (*IDENTITY, "ProspectID", passed["SearchBy"])):
        raise MalformedError("LeadDetails has no unique field")
    content = _read_object(body.get("Opportunity"), "Opportunity", (*OPPORTUNITY, *FLAGS))
    opportunity = Opportunity(
        event_code=_read_code(content, "OpportunityEventCode"),
        note=_read_text(content, "OpportunityNote"),
        date=_read_date(content, "OpportunityDateTime"),
        fields=_read_fields(content, set_key="SchemaName"),
        flags=_read_flags(content, submission.query),
    )
    return lambda at: records.capture_opportunity(passed, opportunity, at)


def read_opportunity_update(submission: Submission, records: Records) -> Work:
    """Fields and note for the opportunity in ProspectOpportunityId."""
    names = ("ProspectOpportunityId", "OpportunityNote", "Fields")
    body = _read_object(submission.body, "The body", names)
    opportunity_id = _read_id(body, "ProspectOpportunityId")
    note = _read_text(body, "OpportunityNote")
    fields = _read_fields(body, set_key="SchemaName")
    return lambda _at: records.update_opportunity(opportunity_id, note, fields)


def read_call_log(submission: Submission, records: Records) -> Work:
    """A finished phone call; the path names the telephony connector."""
    body = _read_object(submission.body, "The body", CALL)
    if not body:
        raise MalformedError("The body has no fields")
    readers = {"StartTime": _read_date, "EndTime": _read_date, "CallDuration": _read_duration}
    fields = {name: readers.get(name, _read_text)(body, name) for name in CALL if name in body}
    return lambda at: records.log_call(submission.rest, fields, at)


def read_lead(value: object, within: str = "") -> dict[str, str]:
    """Values by attribute; at least one attribute other than SearchBy is required.

    The entries of a custom field set are named `mx_Set.Entry`.
    """
    passed: dict[str, str] = {}
    for place, entry in _read_entries(value, within, "Attribute and Value"):
        passed |= _read_entry(place, entry, passed, "Attribute", set_key="Attribute")
    if not passed.keys() - {"SearchBy"}:
        raise MalformedError(f"{within or 'The body'} has no attribute")
    return passed


def values_of(content: object) -> dict[str, str]:
    """The values in a submission's body, by schema name or key; of an equal name, the first."""
    found: dict[str, str] = {}
    if isinstance(content, list):
        for entry in cast("list[dict[str, object]]", content):
            name = str(entry.get("Attribute") or entry.get("SchemaName"))
            if "Value" in entry:
                found.setdefault(name, text_of(entry["Value"]))
            for inner, value in values_of(entry.get("Fields", [])).items():
                found.setdefault(f"{name}.{inner}", value)
    elif isinstance(content, dict):
        for name, part in cast("dict[str, object]", content).items():
            inside = values_of(part)
            found = {**(inside if inside or isinstance(part, list) else {name: text_of(part)}), **found}
    return found


def text_of(value: object) -> str:
    """A value as text; LeadSquared takes every value of a lead as text."""
    return value if isinstance(value, str) else json.dumps(value, default=str).strip('"')


def _read_searched(value: object) -> dict[str, str]:
    passed = read_lead(value, "LeadDetails")
    if "SearchBy" not in passed:
        raise MalformedError("LeadDetails has no SearchBy")
    return passed


def _read_activity(content: _Object) -> Activity:
    _check_flags(content, ACTIVITY_FLAGS)
    return Activity(
        event=str(_read_code(content, "ActivityEvent")),
        note=_read_text(content, "ActivityNote"),
        date=_read_date(content, "ActivityDateTime"),
        fields=_read_fields(content, set_key="Attribute"),
        flags=tuple(name for name in ACTIVITY_FLAGS if content.get(name)),
    )


def _read_fields(content: _Object, *, set_key: str) -> dict[str, str]:
    """The Fields of an activity or opportunity: values by schema name."""
    found: dict[str, str] = {}
    for place, entry in _read_entries(content.get("Fields", []), "Fields", "SchemaName and Value"):
        found |= _read_entry(place, entry, found, "SchemaName", set_key=set_key)
    return found


def _read_entries(value: object, within: str, of: str) -> list[tuple[str, _Object]]:
    """The entries of an array of objects, each with its position for messages."""
    if not isinstance(value, list):
        raise MalformedError(f"{within or 'The body'} is not an array of {of}")
    found: list[tuple[str, _Object]] = []
    for position, entry in enumerate(cast("list[object]", value)):
        place = f"{within or 'the body'}[{position}]"
        if not isinstance(entry, dict):
            raise MalformedError(f"{place} is not an object")
        found.append((place, cast("_Object", entry)))
    return found


def _read_entry(
    place: str, entry: _Object, before: Collection[str], key: str, *, set_key: str
) -> dict[str, str]:
    """A schema name and its value, or a custom field set, where `set_key` holds each schema name."""
    if "Fields" not in entry:
        return _read_pair(place, entry, before, key)
    found = _read_pair(place, {name: entry[name] for name in entry if name != "Fields"}, before, set_key)
    (set_name,) = found
    inner: dict[str, str] = {}
    for inside, nested in _read_entries(entry["Fields"], f"{place}.Fields", f"{set_key} and Value"):
        inner |= _read_pair(inside, nested, inner, set_key)
    return found | {f"{set_name}.{name}": value for name, value in inner.items()}


def _read_pair(place: str, entry: _Object, before: Collection[str], key: str) -> dict[str, str]:
    name, value = entry.get(key), entry.get("Value")
    if not isinstance(name, str) or not name:
        raise MalformedError(f"{place}: {key} is not a schema name")
    if not isinstance(value, str):
        raise MalformedError(f"{place}: Value is not a string")
    if name in before:
        raise MalformedError(f"{place}: {key} is a duplicate")
    if entry.keys() - {key, "Value"}:
        raise MalformedError(f"{place} has keys other than {key} and Value")
    return {name: value}


def _read_object(value: object, place: str, names: Collection[str]) -> _Object:
    """An object with no keys other than `names`."""
    if not isinstance(value, dict):
        raise MalformedError(f"{place} is not an object")
    found = cast("_Object", value)
    if found.keys() - set(names):
        raise MalformedError(f"{place} has keys other than {', '.join(names)}")
    return found


def _read_text(holder: Mapping[str, object], name: str) -> str:
    """A string; empty if absent."""
    value = holder.get(name, "")
    if not isinstance(value, str):
        raise MalformedError(f"{name} is not a string")
    return value


def _read_id(holder: Mapping[str, object], name: str) -> str:
    value = _read_text(holder, name)
    if not value:
        raise MalformedError(f"{name} is missing")
    return value


def _read_code(holder: _Object, name: str) -> int:
    """A whole number, not a string of digits."""
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedError(f"{name} is not a whole number")
    return value


def _read_date(holder: _Object, name: str) -> str:
    """A date and time as `YYYY-MM-DD HH:MM:SS`; empty if absent."""
    value = holder.get(name, "")
    try:
        if isinstance(value, str) and (
            name not in holder or (len(value) == 19 and datetime.fromisoformat(value).isoformat(" ") == value)
        ):
            return value
    except ValueError:
        pass
    raise MalformedError(f"{name} is not a date in the format YYYY-MM-DD HH:MM:SS")


def _read_duration(holder: _Object, name: str) -> str:
    """Whole seconds, as a number or a string of digits; both have been observed."""
    value = holder[name]
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]*", text):
        raise MalformedError(f"{name} is not a number of seconds")
    return text


def _read_flag(query: Mapping[str, str], name: str) -> bool:
    """`true` or `false` in the query; absent is false."""
    value = query.get(name, "false")
    if value not in {"true", "false"}:
        raise MalformedError(f"{name} must be true or false")
    return value == "true"


def _read_flags(content: _Object, query: Mapping[str, str]) -> tuple[str, ...]:
    """The flags set in the query or in the opportunity; both have been observed."""
    _check_flags(content, FLAGS)
    flags = tuple(name for name in FLAGS if _read_flag(query, name) or content.get(name))
    if {"OverwriteFields", "UpdateEmptyFields"} <= set(flags):
        raise MalformedError("OverwriteFields and UpdateEmptyFields cannot be combined")
    return flags


def _check_flags(content: _Object, names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(content.get(name, False), bool):
            raise MalformedError(f"{name} must be true or false")
