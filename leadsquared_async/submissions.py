"""Submissions as plain values: one function per operation.

`lsq.submit` sends one, `lsq.submit_many` sends many, and an outbox keeps them. The methods of `lsq.leads`,
`lsq.activities`, `lsq.opportunities` and `lsq.calls` make one and send it. Making a submission checks
nothing: sending it or putting it into an outbox raises an `InvalidLead` that names what is invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from leadsquared_async.operations import (
    ACTIVITIES_CREATE,
    ACTIVITIES_CREATE_WITH_LEAD,
    BULK_CREATE_OR_UPDATE,
    CALLS_LOG,
    LEADS_CAPTURE,
    LEADS_UPDATE,
    OPPORTUNITIES_CAPTURE,
    OPPORTUNITIES_UPDATE,
    Endpoint,
)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The payload of one operation, not yet checked; its repr shows no personal data.

    Attributes:
        operation: the endpoint that takes it.
        lead: schema name to value; None if the operation takes no lead.
        search_by: the schema name by which LeadSquared looks for an existing lead.
        details: what the body holds besides the lead: name to value, with `Fields` as a mapping of its own.
        query: query parameters other than the keys; those that are None are left out.
        suffix: segments to append to the path.
        reference: your own opaque id; never sent.
        key: for an outbox, in which the same key is the same item; never sent.
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
        """The same with this key, for `Outbox.put_many`."""
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
    """Update a lead by its id; see `lsq.leads.update`."""
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
    reference: str | None = None,
) -> Submission:
    """Post an activity on a lead; see `lsq.activities.create`."""
    details = {"RelatedProspectId": _id(lead_id), **_activity(event, note, at, fields)}
    return Submission(operation=ACTIVITIES_CREATE, details=details, reference=reference)


def create_lead_and_activity(
    lead: Mapping[str, Any],
    *,
    search_by: str,
    event: int,
    note: str | None = None,
    at: datetime | str | None = None,
    fields: Mapping[str, Any] | None = None,
    reference: str | None = None,
) -> Submission:
    """Create or update a lead and post an activity on it; see `lsq.activities.create_with_lead`."""
    return Submission(
        operation=ACTIVITIES_CREATE_WITH_LEAD,
        lead=lead,
        search_by=search_by,
        details=_activity(event, note, at, fields),
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
    """Create an opportunity of a new or existing lead; see `lsq.opportunities.capture`."""
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
    opportunity_id: str | UUID,
    *,
    note: str | None = None,
    fields: Mapping[str, Any] | None = None,
    reference: str | None = None,
) -> Submission:
    """Update an opportunity by its id; see `lsq.opportunities.update`."""
    return Submission(
        operation=OPPORTUNITIES_UPDATE,
        details={"ProspectOpportunityId": _id(opportunity_id), "OpportunityNote": note, "Fields": fields},
        reference=reference,
    )


def log_call(
    connector_key: str,
    call: Mapping[str, Any],
    *,
    instance: str | UUID | None = None,
    reference: str | None = None,
) -> Submission:
    """Log a telephone call; see `lsq.calls.log`."""
    suffix = (connector_key,) if instance is None else (connector_key, _id(instance))
    return Submission(operation=CALLS_LOG, details=call, suffix=suffix, reference=reference)


def bulk_lead(
    lead: Mapping[str, Any], *, search_by: str | None = None, reference: str | None = None
) -> Submission:
    """Create or update a lead; an outbox sends up to 25 of these in a bulk call. See `lsq.bulk`."""
    return Submission(operation=BULK_CREATE_OR_UPDATE, lead=lead, search_by=search_by, reference=reference)


def _id(value: str | UUID) -> str:
    """The id as text. Any other value is kept, so that encoding rejects it by name."""
    return str(value) if isinstance(value, UUID) else value


def _flag(value: bool) -> str | None:
    """A flag of the query, left out if False. Any other value is kept, so that encoding rejects it."""
    return "true" if value is True else None if value is False else value


def _activity(
    event: int, note: str | None, at: datetime | str | None, fields: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {"ActivityEvent": event, "ActivityNote": note, "ActivityDateTime": at, "Fields": fields}
