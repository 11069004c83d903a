"""The one table of LeadSquared's asynchronous operations: where each is, how surely, what its body holds.

A row is all that the rest of the package needs to send an operation, follow it, batch it and keep it in an
outbox. Paths and their certainty come from the pages of apidocs.leadsquared.com ("Async API" and the page of
each operation); what no page confirms is marked, and can be changed with `LeadSquared(paths=...)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from leadsquared_async.errors import ConfigurationError

__all__ = [
    "ACTIVITIES_CREATE",
    "ACTIVITIES_CREATE_WITH_LEAD",
    "BULK_CREATE_OR_UPDATE",
    "BULK_MOST",
    "CALLS_LOG",
    "LEADS_CAPTURE",
    "LEADS_UPDATE",
    "LEAD_FIELDS",
    "OPERATIONS",
    "OPPORTUNITIES_CAPTURE",
    "OPPORTUNITIES_UPDATE",
    "USER",
    "Certainty",
    "Keys",
    "Operation",
    "Path",
    "Repeat",
    "Write",
    "operation_named",
]


class Certainty(Enum):
    """How surely a fact about LeadSquared is known."""

    DOCUMENTED = "documented"
    SEEN = "seen in the field"
    INFERRED = "inferred"
    GIVEN = "given by the caller"


class Repeat(Enum):
    """May a call be made again when nobody knows whether the last attempt arrived?"""

    ALWAYS = "always"
    """A read: nothing changes."""
    SAFE = "safe"
    """A write that LeadSquared matches to what the first one made."""
    NEVER = "never"
    """A write that would be made twice."""


class Keys(Enum):
    """Which keys a call carries: submissions all of them, status and metrics the x-api-key only."""

    ALL = "all"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Path:
    """A path on one of the account's hosts, and how surely it is known."""

    text: str
    certainty: Certainty = Certainty.DOCUMENTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What LeadSquared can be asked to do.

    Attributes:
        name: what errors, logs and options call it: the resource and the verb.
        submit: where it is posted to.
        unidentified: may it be repeated on an unknown delivery if nothing in it identifies the lead?
        identified: the same, if something does.
        finds_by_id: whether a ProspectID identifies a lead without SearchBy.
        keys: what a submission authenticates with.
        takes_lead: whether it is about a lead's attributes.
        envelope: the name under which its details stand beside `LeadDetails`; "" if they are the whole body.
        ids: details that are ids, and have to be there.
        integers: details that are whole numbers, and have to be there.
        dates: details that are moments, in UTC.
        flags: details that are true or false; all that is not named is text.
        set_entry: what the names of a field set among the details and of its entries stand under; other
            fields have a SchemaName.
        exclusive: flags of which one at most may be set.
        needs_search_by: whether its lead has to say by what it is searched for.
        changes: the query pair or detail that names what is changed, and what that is an id of: what changes
            the same goes out of an outbox in the order in which it came. None: whoever the lead is.
    """

    name: str
    submit: Path
    unidentified: Repeat
    identified: Repeat
    finds_by_id: bool = True
    keys: Keys = Keys.ALL
    takes_lead: bool = False
    envelope: str = ""
    ids: frozenset[str] = frozenset()
    integers: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    set_entry: str = "Attribute"
    exclusive: tuple[str, ...] = ()
    needs_search_by: bool = False
    changes: tuple[str, str] | None = None

    def repeat(self, *, identified: bool) -> Repeat:
        """May this call be repeated when its delivery is unknown?"""
        return self.identified if identified else self.unidentified


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Write):
    """One row of the table: it is queued, and followed by its RequestID.

    Attributes:
        task_type: LeadSquared's word for it in a status.
        status: where its outcome is asked for.
        metrics: where its queue is measured.
    """

    task_type: str
    status: Path
    metrics: Path


LEADS_CAPTURE = Operation(
    name="leads.capture",
    task_type="Lead Capture",
    submit=Path("/lead/capture"),
    status=Path("/lead/status"),
    metrics=Path("/lead/capture/metrics", Certainty.INFERRED),
    takes_lead=True,
    # A lead without ProspectID, EmailAddress, Phone or SearchBy is always a new lead: twice makes two.
    unidentified=Repeat.NEVER,
    identified=Repeat.SAFE,
)
LEADS_UPDATE = Operation(
    name="leads.update",
    task_type="Lead Update",
    submit=Path("/lead/update"),
    status=Path("/lead/update/status", Certainty.INFERRED),
    metrics=Path("/lead/update/metrics", Certainty.INFERRED),
    takes_lead=True,
    unidentified=Repeat.NEVER,
    identified=Repeat.SAFE,
    changes=("leadId", "ProspectID"),
)
ACTIVITIES_CREATE = Operation(
    name="activities.create",
    task_type="Activity Create",
    submit=Path("/activity/create"),
    status=Path("/activity/create/status", Certainty.INFERRED),
    metrics=Path("/activity/create/metrics", Certainty.INFERRED),
    unidentified=Repeat.NEVER,  # each one posts an activity
    identified=Repeat.NEVER,
    ids=frozenset({"RelatedProspectId"}),
    integers=frozenset({"ActivityEvent"}),
    dates=frozenset({"ActivityDateTime"}),
)
ACTIVITIES_CREATE_WITH_LEAD = Operation(
    name="activities.create_with_lead",
    task_type="Activity Create Custom",
    submit=Path("/activity/createcustom"),
    status=Path("/activity/createcustom/status", Certainty.INFERRED),
    metrics=Path("/activity/createcustom/metrics"),
    takes_lead=True,
    unidentified=Repeat.NEVER,
    identified=Repeat.NEVER,  # the lead is matched, the activity is not
    envelope="Activity",
    integers=frozenset({"ActivityEvent"}),
    dates=frozenset({"ActivityDateTime"}),
    needs_search_by=True,
)
OPPORTUNITIES_CAPTURE = Operation(
    name="opportunities.capture",
    task_type="Opportunity Capture",
    submit=Path("/opportunity/capture"),
    status=Path("/opportunity/capture/status", Certainty.INFERRED),
    metrics=Path("/opportunity/capture/metrics", Certainty.INFERRED),
    takes_lead=True,
    # It is matched only by the account's own rules for duplicates, which nobody has to have.
    unidentified=Repeat.NEVER,
    identified=Repeat.NEVER,
    envelope="Opportunity",
    integers=frozenset({"OpportunityEventCode"}),
    dates=frozenset({"OpportunityDateTime"}),
    flags=frozenset(
        {"OverwriteFields", "UpdateEmptyFields", "DoNotPostDuplicateActivity", "DoNotChangeOwner"}
    ),
    set_entry="SchemaName",  # as seen in the field
    exclusive=("OverwriteFields", "UpdateEmptyFields"),
    needs_search_by=True,
)
OPPORTUNITIES_UPDATE = Operation(
    name="opportunities.update",
    task_type="Opportunity Update",
    submit=Path("/opportunity/update"),
    status=Path("/opportunity/update/status", Certainty.INFERRED),
    metrics=Path("/opportunity/update/metrics", Certainty.INFERRED),
    unidentified=Repeat.NEVER,
    identified=Repeat.SAFE,
    set_entry="SchemaName",
    changes=("ProspectOpportunityId", "ProspectOpportunityId"),
)
CALLS_LOG = Operation(
    name="calls.log",
    task_type="Telephony-LogCall",
    submit=Path("/1/api/telephony/logcallcomplete"),
    status=Path("/1/api/telephony/logcallcomplete/status"),
    metrics=Path("/1/api/telephony/logcallcomplete/metrics", Certainty.INFERRED),
    unidentified=Repeat.NEVER,  # each one logs a call
    identified=Repeat.NEVER,
    keys=Keys.API_KEY,
    dates=frozenset({"StartTime", "EndTime"}),
)

LEAD_FIELDS = Path("/v2/LeadManagement.svc/LeadsMetaData.Get")
"""On the synchronous host: the account's lead fields ("Get Lead Meta Data")."""
USER = Path("/v2/Authentication.svc/UserByAccessKey.Get")
"""On the synchronous host: whose keys these are, and where the account is at home ("User Authentication")."""

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        LEADS_CAPTURE,
        LEADS_UPDATE,
        ACTIVITIES_CREATE,
        ACTIVITIES_CREATE_WITH_LEAD,
        OPPORTUNITIES_CAPTURE,
        OPPORTUNITIES_UPDATE,
        CALLS_LOG,
    )
}
"""Every operation by its name."""

BULK_CREATE_OR_UPDATE = Write(
    name="bulk.create_or_update",
    submit=Path("/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"),
    takes_lead=True,
    unidentified=Repeat.NEVER,
    identified=Repeat.SAFE,
    # Its page names e-mail address and phone as what a lead is looked for by, and SearchBy for all else.
    finds_by_id=False,
)
"""No row of the table: the synchronous API does it at once, and many leads share a call."""
BULK_MOST = 25
"""Leads in a bulk call."""


def operation_named(name: str) -> Operation:
    """The row of that name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return OPERATIONS[name]
    except (KeyError, TypeError):
        raise ConfigurationError(f"operation has to be one of {', '.join(OPERATIONS)}") from None
