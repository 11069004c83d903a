"""The operations of the Async API: where each is, what it is called, and who reads its body.

Copied by hand from LeadSquared's documentation. Paths that no page confirms are its likeliest ones; the
setting `paths` moves them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from leadsquared_async.sandbox.records import Records
from leadsquared_async.sandbox.submissions import (
    Submission,
    Work,
    read_activity,
    read_call_log,
    read_capture,
    read_lead_and_activity,
    read_opportunity,
    read_opportunity_update,
    read_update,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A submission, with its status and its metrics."""

    name: str
    task_type: str
    submit: str
    status: str
    metrics: str
    read: Callable[[Submission, Records], Work]
    """Makes the work out of what was submitted, or raises MalformedError."""
    id_name: str = "RequestId"
    """How its status spells the id; both spellings are documented."""
    rate_name: str = "ProcessingRatePerMinute"
    """How its metrics spell the rate; both spellings are documented."""
    keyed: bool = True
    """Whether it takes accessKey and secretKey; without them the x-api-key alone decides."""
    names_connector: bool = False
    """Whether its path goes on with a telephony connector's key, and perhaps an instance's guid."""


OPERATIONS = (
    Operation(
        name="capture",
        task_type="Lead Capture",
        submit="/lead/capture",
        status="/lead/status",
        metrics="/lead/capture/metrics",
        read=read_capture,
    ),
    Operation(
        name="update",
        task_type="Lead Update",
        submit="/lead/update",
        status="/lead/update/status",
        metrics="/lead/update/metrics",
        read=read_update,
        id_name="RequestID",
    ),
    Operation(
        name="activity",
        task_type="Activity Create",
        submit="/activity/create",
        status="/activity/create/status",
        metrics="/activity/create/metrics",
        read=read_activity,
    ),
    Operation(
        name="lead-and-activity",
        task_type="Activity Create Custom",
        submit="/activity/createcustom",
        status="/activity/createcustom/status",
        metrics="/activity/createcustom/metrics",
        read=read_lead_and_activity,
        id_name="RequestID",
        rate_name="ProcessingratePerMinute",
    ),
    Operation(
        name="opportunity",
        task_type="Opportunity Capture",
        submit="/opportunity/capture",
        status="/opportunity/capture/status",
        metrics="/opportunity/capture/metrics",
        read=read_opportunity,
    ),
    Operation(
        name="opportunity-update",
        task_type="Opportunity Update",
        submit="/opportunity/update",
        status="/opportunity/update/status",
        metrics="/opportunity/update/metrics",
        read=read_opportunity_update,
        id_name="RequestID",
    ),
    Operation(
        name="call-log",
        task_type="Telephony-LogCall",
        submit="/1/api/telephony/logcallcomplete",
        status="/1/api/telephony/logcallcomplete/status",
        metrics="/1/api/telephony/logcallcomplete/metrics",
        read=read_call_log,
        keyed=False,
        names_connector=True,
    ),
)
"""Every operation of the Async API."""

SYNC = {
    "fields": ("GET", "/v2/LeadManagement.svc/LeadsMetaData.Get"),
    "bulk": ("POST", "/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"),
    "user": ("GET", "/v2/Authentication.svc/UserByAccessKey.Get"),
}
"""Method and path of each call that the synchronous host plays, by its name."""

CALL_NAMES = frozenset({"status", "metrics", *SYNC, *(operation.name for operation in OPERATIONS)})
"""The words for calls in faults and books."""
