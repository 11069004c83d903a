"""Submissions as plain values: one function per operation.

`lsq.submit` sends one, `lsq.submit_many` sends many, and an outbox keeps them. The methods of `lsq.leads`,
`lsq.activities`, `lsq.opportunities` and `lsq.calls` make one and send it, and have the same docstrings.
A submission is checked when it is sent or put into an outbox, which raise `InvalidLead` if it is invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from leadsquared_async.models import ShortRepr
from leadsquared_async.operations import (
    ACTIVITIES_CREATE,
    ACTIVITIES_CREATE_WITH_LEAD,
    ACTIVITY_FLAGS,
    BULK_CREATE_OR_UPDATE,
    CALLS_LOG,
    LEADS_CAPTURE,
    LEADS_UPDATE,
    OPPORTUNITIES_CAPTURE,
    OPPORTUNITIES_UPDATE,
    Endpoint,
)
from leadsquared_async.value_text import is_uuid

if TYPE_CHECKING:
    from uuid import UUID  # slow to import

__all__ = [
    "Submission",
    "UpdateBehavior",
    "bulk_lead",
    "capture_lead",
    "capture_opportunity",
    "create_activity",
    "create_lead_and_activity",
    "log_call",
    "update_lead",
    "update_opportunity",
]

UpdateBehavior = Literal["DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"]
"""What to leave unchanged on an existing lead: all fields, those with a value, or the unique ones."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Submission(ShortRepr):
    """The payload of one operation, not yet checked; its repr shows no personal data.

    Attributes:
        operation: the endpoint that takes it.
        lead: schema name to value; None if the operation takes no lead.
        search_by: the schema name by which LeadSquared looks for an existing lead.
        details: the body besides the lead: name to value, with `Fields` as a nested mapping.
        query: query parameters other than the keys; those that are None are left out.
        suffix: segments to append to the path.
        reference: your own opaque id; never sent.
        key: the outbox's dedupe key: one key is one item; never sent.
    """

    operation: Endpoint
    lead: Mapping[str, Any] | None = field(default=None, repr=False)
    search_by: str | None = None
    details: Mapping[str, Any] | None = field(default=None, repr=False)
    query: Mapping[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    suffix: tuple[str, ...] = field(default=(), repr=False)
    reference: str | None = None
    key: str | None = None

    def with_key(self, key: str | None) -> Submission:
        """A copy with this key, for `Outbox.put_many`."""
        return replace(self, key=key)


def capture_lead(
    lead: Mapping[str, Any],
    *,
    search_by: str | None = None,
    update_behavior: UpdateBehavior | None = None,
    reference: str | None = None,
) -> Submission:
    """Create or update a lead; see `lsq.leads.capture`."""
    return Submission(
        operation=LEADS_CAPTURE,
        lead=lead,
        search_by=search_by,
        query={"LeadUpdateBehavior": update_behavior},
        reference=reference,
    )


def update_lead(
    lead_id: str | UUID,
    fields: Mapping[str, Any],
    *,
    post_updated_lead: bool = False,
    reference: str | None = None,
) -> Submission:
    """Change values of an existing lead; other values stay.

    Source: apidocs.leadsquared.com, "Update a Lead (Async)".

    Example:
        receipt = await lsq.leads.update(lead_id, {"mx_City": "Pune", "Notes": ""})

    Args:
        lead_id: its ProspectID.
        fields: schema name to value; "" clears a field.
        post_updated_lead: whether automations, webhooks and rules run on the change.
        reference: your own opaque id, never sent; shown on receipts, on errors and in logs.
    """
    return Submission(
        operation=LEADS_UPDATE,
        lead=fields,
        query={"leadId": _id(lead_id), "postUpdatedLead": _flag(post_updated_lead)},
        reference=reference,
    )


def create_activity(
    lead_id: str | UUID,
    *,
    event: int,
    note: str | None = None,
    at: datetime | str | None = None,
    fields: Mapping[str, Any] | None = None,
    validate_drop_down_options: bool | None = None,
    process_files_async: bool | None = None,
    include_lead_score: bool | None = None,
    reference: str | None = None,
) -> Submission:
    """Post an activity on an existing lead; submitting it twice posts two.

    Source: apidocs.leadsquared.com, "Post an Activity to a Lead (Async)".

    Example:
        receipt = await lsq.activities.create(lead_id, event=201, fields={"mx_Custom_1": "Blue"})

    Args:
        lead_id: the lead's ProspectID.
        event: the code of the activity type.
        note: text.
        at: when it happened: an aware datetime, or UTC as YYYY-MM-DD HH:MM:SS; by default now.
        fields: schema name to value; a nested mapping is a field set.
        validate_drop_down_options: LeadSquared's page says that True skips the check that values are options
            of their drop-down fields.
        process_files_async: LeadSquared's ProcessFilesAsync, for an activity with files.
        include_lead_score: include the lead's new score in the answer (`message` of the status).
        reference: as for `update_lead`.

    LeadSquared documents the three flags on the page of the synchronous call, whose body is the same.
    """
    flags = (validate_drop_down_options, process_files_async, include_lead_score)
    details = {"RelatedProspectId": _id(lead_id), **_activity(event, note, at, fields, flags)}
    return Submission(operation=ACTIVITIES_CREATE, details=details, reference=reference)


def create_lead_and_activity(
    lead: Mapping[str, Any],
    *,
    search_by: str,
    event: int,
    note: str | None = None,
    at: datetime | str | None = None,
    fields: Mapping[str, Any] | None = None,
    validate_drop_down_options: bool | None = None,
    process_files_async: bool | None = None,
    include_lead_score: bool | None = None,
    reference: str | None = None,
) -> Submission:
    """Submit a new or existing lead, and post an activity on it; submitting it twice posts two.

    Source: apidocs.leadsquared.com, "Create a Lead and Activity (Async)".

    Example:
        receipt = await lsq.activities.create_with_lead(lead, search_by="Phone", event=201)

    Args:
        lead: schema name to value, as for `leads.capture`.
        search_by: the schema name by which LeadSquared looks for an existing lead.
        event: as for `create_activity`.
        note: text.
        at: as for `create_activity`.
        fields: of the activity, as for `create_activity`.
        validate_drop_down_options: as for `create_activity`.
        process_files_async: as for `create_activity`.
        include_lead_score: as for `create_activity`.
        reference: as for `update_lead`.
    """
    flags = (validate_drop_down_options, process_files_async, include_lead_score)
    return Submission(
        operation=ACTIVITIES_CREATE_WITH_LEAD,
        lead=lead,
        search_by=search_by,
        details=_activity(event, note, at, fields, flags),
        reference=reference,
    )


def capture_opportunity(
    lead: Mapping[str, Any],
    *,
    search_by: str,
    event_code: int,
    note: str | None = None,
    at: datetime | str | None = None,
    fields: Mapping[str, Any] | None = None,
    overwrite_fields: bool | None = None,
    update_empty_fields: bool | None = None,
    do_not_post_duplicate_activity: bool | None = None,
    do_not_change_owner: bool | None = None,
    reference: str | None = None,
) -> Submission:
    """Submit an opportunity of a new or existing lead.

    Submitting it twice creates two opportunities, unless the account has duplicate rules.
    Source: apidocs.leadsquared.com, "Capture Opportunities (Async)".

    Example:
        receipt = await lsq.opportunities.capture(lead, search_by="Phone", event_code=12000)

    Args:
        lead: schema name to value; LeadSquared asks for unique fields only.
        search_by: the schema name by which LeadSquared looks for an existing lead.
        event_code: the code of the opportunity type.
        note: text.
        at: as for `create_activity`.
        fields: of the opportunity, schema name to value; a nested mapping is a field set.
        overwrite_fields: overwrite the values of an existing opportunity.
        update_empty_fields: fill in empty fields of an existing opportunity; not with `overwrite_fields`.
        do_not_post_duplicate_activity: post no activity when a duplicate is found.
        do_not_change_owner: keep the lead's owner.
        reference: as for `update_lead`.
    """
    details = {
        "OpportunityEventCode": event_code,
        "OpportunityNote": note,
        "OpportunityDateTime": at,
        "OverwriteFields": overwrite_fields,
        "UpdateEmptyFields": update_empty_fields,
        "DoNotPostDuplicateActivity": do_not_post_duplicate_activity,
        "DoNotChangeOwner": do_not_change_owner,
        "Fields": fields,
    }
    return Submission(
        operation=OPPORTUNITIES_CAPTURE, lead=lead, search_by=search_by, details=details, reference=reference
    )


def update_opportunity(
    opportunity_id: str | int | UUID,
    *,
    note: str | None = None,
    fields: Mapping[str, Any] | None = None,
    reference: str | None = None,
) -> Submission:
    """Change values of an existing opportunity; other values stay.

    Source: apidocs.leadsquared.com, "Update an Opportunity (Async)".

    Example:
        receipt = await lsq.opportunities.update(opportunity_id, fields={"mx_Custom_2": "Won"})

    Args:
        opportunity_id: its ProspectOpportunityId, or the value of its AutoId field.
        note: text.
        fields: schema name to value; a nested mapping is a field set.
        reference: as for `update_lead`.
    """
    return Submission(
        operation=OPPORTUNITIES_UPDATE,
        details={
            "ProspectOpportunityId": _id(opportunity_id),
            "OpportunityNote": note,
            "Fields": fields,
        },
        reference=reference,
    )


def log_call(
    connector_key: str,
    call: Mapping[str, Any],
    *,
    instance: str | UUID | None = None,
    reference: str | None = None,
) -> Submission:
    """Log a call of a telephony connector; submitting it twice logs two.

    The connector's key never appears in logs or errors. Source: apidocs.leadsquared.com, "Post a Call Log
    (Async)".

    Example:
        receipt = await lsq.calls.log(connector_key, {"SourceNumber": "+91-9988776655", "CallDuration": 80})

    Args:
        connector_key: the key of the connector, from its page in LeadSquared.
        call: LeadSquared's names to values: SourceNumber, CallerSource, DestinationNumber, DisplayNumber,
            StartTime, EndTime, CallDuration, Status, ResourceURL, Direction, CallSessionId, LeadId, Tag,
            UserId. The times are aware datetimes, or UTC as YYYY-MM-DD HH:MM:SS.
        instance: the connector's instance, if it has several.
        reference: as for `update_lead`.
    """
    suffix = (connector_key,) if instance is None else (connector_key, _id(instance))
    return Submission(operation=CALLS_LOG, details=call, suffix=suffix, reference=reference)


def bulk_lead(
    lead: Mapping[str, Any], *, search_by: str | None = None, reference: str | None = None
) -> Submission:
    """Create or update a lead; an outbox sends up to 25 of these in a bulk call. See `lsq.bulk`."""
    return Submission(operation=BULK_CREATE_OR_UPDATE, lead=lead, search_by=search_by, reference=reference)


def _id(value: str | int | UUID) -> str:
    """A UUID as text. Any other value is kept, so that encoding rejects it by name."""
    return str(value) if is_uuid(value) else cast("str", value)


def _flag(value: bool) -> str | None:
    """A query flag, left out if False. Any other value is kept, so that encoding rejects it."""
    return "true" if value is True else None if value is False else value


def _activity(
    event: int,
    note: str | None,
    at: datetime | str | None,
    fields: Mapping[str, Any] | None,
    flags: tuple[bool | None, bool | None, bool | None],
) -> dict[str, Any]:
    activity = {"ActivityEvent": event, "ActivityNote": note, "ActivityDateTime": at, "Fields": fields}
    return activity | dict(zip(ACTIVITY_FLAGS, flags, strict=True))
