"""The one table of LeadSquared's asynchronous operations: paths, certainty, body, idempotency.

A row is all that the package needs to send, follow, batch and store an operation. Paths and their certainty
come from apidocs.leadsquared.com ("Async API" and the page of each operation). Paths that no page confirms
are marked as inferred, and `LeadSquared(paths=...)` replaces them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from leadsquared_async.errors import ConfigurationError

__all__ = [
    "ACTIVITIES_CREATE",
    "ACTIVITIES_CREATE_WITH_LEAD",
    "ACTIVITY_FLAGS",
    "BULK_CREATE_OR_UPDATE",
    "BULK_MOST",
    "CALLS_LOG",
    "LEADS_CAPTURE",
    "LEADS_UPDATE",
    "LEAD_BY",
    "LEAD_FIELDS",
    "OPERATIONS",
    "OPPORTUNITIES_CAPTURE",
    "OPPORTUNITIES_UPDATE",
    "USER",
    "Certainty",
    "Endpoint",
    "Idempotency",
    "Keys",
    "Operation",
    "Path",
    "operation_named",
]


class Certainty(Enum):
    """How well a fact about LeadSquared is confirmed."""

    DOCUMENTED = "documented"
    INFERRED = "inferred"
    GIVEN = "given by the caller"


class Idempotency(Enum):
    """The effect of repeating a call that may have arrived."""

    READ = "read"
    """No effect: the call reads."""
    MATCHED = "matched"
    """LeadSquared matches it to the result of the first call."""
    NONE = "none"
    """It creates a second lead, activity or call log."""


class Keys(Enum):
    """The keys in a call: all for submissions, only the x-api-key for status and metrics."""

    ALL = "all"
    """The access key and the secret key in the query, the x-api-key in its header."""
    HEADERS = "headers"
    """All in headers; `LeadSquared(keys_in="headers")` turns `ALL` into this."""
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Path:
    """A path on one of the account's hosts, and how well it is confirmed."""

    text: str
    certainty: Certainty = Certainty.DOCUMENTED


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Endpoint:
    """An endpoint that takes a submission, and the shape of its body.

    Attributes:
        name: the name in errors, logs and options: the resource and the verb.
        submit: the path that the body is posted to.
        is_matched: whether LeadSquared matches a repeated submission to the first one, if something in it
            identifies the lead.
        finds_by_id: whether a ProspectID identifies a lead without SearchBy.
        keys: the keys in a submission's call.
        takes_lead: whether the body holds a lead.
        envelope: the name of the details beside `LeadDetails`; "" if they are the whole body.
        ids: details that are ids, all required.
        integers: details that are whole numbers, all required.
        dates: details that are UTC times.
        flags: details that are true or false. All other details are text.
        set_entry: the key of a name within a field set of the details; other fields have a SchemaName.
        exclusive: flags of which at most one may be true.
        needs_search_by: whether the lead needs a SearchBy.
        changes: the query parameter or detail that holds the id of what is changed, and the kind of that id.
            An outbox sends changes of one id in order. None: the lead's id is used.
    """

    name: str
    submit: Path
    is_matched: bool = False
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def idempotency(self, *, identified: bool) -> Idempotency:
        """The effect of a repeated call; `identified` says whether something in it identifies the lead."""
        return Idempotency.MATCHED if identified and self.is_matched else Idempotency.NONE


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Operation(Endpoint):
    """An endpoint that queues the submission and returns a RequestID: one row of the table.

    Attributes:
        task_type: LeadSquared's name for it in a status.
        status: the path of its outcome.
        metrics: the path of its queue's metrics.
    """

    task_type: str
    status: Path
    metrics: Path


ACTIVITY_FLAGS = ("ValidateDropDownOptions", "ProcessFilesAsync", "IncludeLeadScore")
"""Documented for the synchronous calls that have the same bodies."""

LEADS_CAPTURE = Operation(
    name="leads.capture",
    task_type="Lead Capture",
    submit=Path("/lead/capture"),
    status=Path("/lead/status"),
    metrics=Path("/lead/capture/metrics", Certainty.INFERRED),
    takes_lead=True,
    is_matched=True,  # a lead without an identifier is always new: two calls create two
)
LEADS_UPDATE = Operation(
    name="leads.update",
    task_type="Lead Update",
    submit=Path("/lead/update"),
    status=Path("/lead/update/status", Certainty.INFERRED),
    metrics=Path("/lead/update/metrics", Certainty.INFERRED),
    takes_lead=True,
    is_matched=True,
    changes=("leadId", "ProspectID"),
)
ACTIVITIES_CREATE = Operation(
    name="activities.create",
    task_type="Activity Create",
    submit=Path("/activity/create"),
    status=Path("/activity/create/status", Certainty.INFERRED),
    metrics=Path("/activity/create/metrics", Certainty.INFERRED),
    # Not matched: each call posts an activity.
    ids=frozenset({"RelatedProspectId"}),
    integers=frozenset({"ActivityEvent"}),
    dates=frozenset({"ActivityDateTime"}),
    flags=frozenset(ACTIVITY_FLAGS),
)
ACTIVITIES_CREATE_WITH_LEAD = Operation(
    name="activities.create_with_lead",
    task_type="Activity Create Custom",
    submit=Path("/activity/createcustom"),
    status=Path("/activity/createcustom/status", Certainty.INFERRED),
    metrics=Path("/activity/createcustom/metrics"),
    takes_lead=True,
    # Not matched: LeadSquared finds the lead, and posts another activity.
    envelope="Activity",
    integers=frozenset({"ActivityEvent"}),
    dates=frozenset({"ActivityDateTime"}),
    flags=frozenset(ACTIVITY_FLAGS),
    needs_search_by=True,
)
OPPORTUNITIES_CAPTURE = Operation(
    name="opportunities.capture",
    task_type="Opportunity Capture",
    submit=Path("/opportunity/capture"),
    status=Path("/opportunity/capture/status", Certainty.INFERRED),
    metrics=Path("/opportunity/capture/metrics", Certainty.INFERRED),
    takes_lead=True,
    # Not matched: that takes duplicate rules, which the account may not have.
    envelope="Opportunity",
    integers=frozenset({"OpportunityEventCode"}),
    dates=frozenset({"OpportunityDateTime"}),
    flags=frozenset(
        {"OverwriteFields", "UpdateEmptyFields", "DoNotPostDuplicateActivity", "DoNotChangeOwner"}
    ),
    set_entry="SchemaName",  # as observed
    exclusive=("OverwriteFields", "UpdateEmptyFields"),
    needs_search_by=True,
)
OPPORTUNITIES_UPDATE = Operation(
    name="opportunities.update",
    task_type="Opportunity Update",
    submit=Path("/opportunity/update"),
    status=Path("/opportunity/update/status", Certainty.INFERRED),
    metrics=Path("/opportunity/update/metrics", Certainty.INFERRED),
    is_matched=True,
    set_entry="SchemaName",
    changes=("ProspectOpportunityId", "ProspectOpportunityId"),
)
CALLS_LOG = Operation(
    name="calls.log",
    task_type="Telephony-LogCall",
    submit=Path("/1/api/telephony/logcallcomplete"),
    status=Path("/1/api/telephony/logcallcomplete/status"),
    metrics=Path("/1/api/telephony/logcallcomplete/metrics", Certainty.INFERRED),
    # Not matched: each call logs a telephone call.
    keys=Keys.API_KEY,
    dates=frozenset({"StartTime", "EndTime"}),
)

LEAD_FIELDS = Path("/v2/LeadManagement.svc/LeadsMetaData.Get")
"""On the synchronous host: the account's lead fields ("Get Lead Meta Data")."""
LEAD_BY = {
    "email": (Path("/v2/LeadManagement.svc/Leads.GetByEmailaddress"), "emailaddress"),
    "phone": (Path("/v2/LeadManagement.svc/RetrieveLeadByPhoneNumber"), "phone"),
    "id": (Path("/v2/LeadManagement.svc/Leads.GetById"), "id"),
}
"""On the synchronous host: the path that finds a lead by each of these, and its query parameter."""
USER = Path("/v2/Authentication.svc/UserByAccessKey.Get")
"""On the synchronous host: the user of the keys, and the account's region ("User Authentication")."""

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
"""Every operation by name."""

BULK_CREATE_OR_UPDATE = Endpoint(
    name="bulk.create_or_update",
    submit=Path("/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"),
    takes_lead=True,
    is_matched=True,
    # Its page says that a lead is found by e-mail address or phone, and by SearchBy for anything else.
    finds_by_id=False,
)
"""Not an operation: the synchronous API processes the call immediately, for many leads."""
BULK_MOST = 25
"""Maximum leads in one bulk call."""


def operation_named(name: str) -> Operation:
    """The operation of this name.

    Raises:
        ConfigurationError: the operation does not exist.
    """
    try:
        return OPERATIONS[name]
    except (KeyError, TypeError):
        raise ConfigurationError(f"operation must be one of {', '.join(OPERATIONS)}") from None
