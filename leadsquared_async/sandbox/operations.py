"""The operations of the Async API: where each is, what it is called, and who reads its body.

Copied by hand from LeadSquared's documentation. Paths that no page confirms are its likeliest ones; the
setting `paths` moves them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from leadsquared_async.sandbox.answers import Request
from leadsquared_async.sandbox.bodies import (
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
from leadsquared_async.sandbox.records import Records


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


CONNECTOR = re.compile(
    r"/(?P<key>[0-9A-Za-z_-]+)"
    r"(?:/(?P<instance>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}))?"
)


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for."""

    name: str
    """The word for it in faults and books: the operation's or the synchronous call's name, or `status`, or
    `metrics`."""
    kind: Literal["submit", "status", "metrics", "sync"]
    operations: tuple[Operation, ...] = ()
    """The operation; several may share the path of their status."""
    rest: tuple[str, ...] = field(default=(), repr=False)
    """The segments of the path behind the operation's own."""

    @property
    def takes_keys(self) -> bool:
        """Whether accessKey and secretKey belong to it."""
        return self.kind == "sync" or (self.kind == "submit" and self.operations[0].keyed)


class Routes:
    """Finds the call behind a method and a path.

    `moved` are other paths by the name of the call: `activity` for its submission, `activity status` and
    `activity metrics`, `bulk`. Raises ValueError for a name that there is not, for what is no path, and for
    a path that two calls share, unless both are a status.
    """

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._calls: dict[tuple[str, str], Call] = {}
        self._connectors: list[tuple[str, Call]] = []
        left = dict(moved)
        for operation in OPERATIONS:
            submit = Call(operation.name, "submit", (operation,))
            path = left.pop(operation.name, operation.submit)
            if operation.names_connector:
                self._connectors.append((path, submit))
            else:
                self._add("POST", path, submit)
            status = left.pop(f"{operation.name} status", operation.status)
            self._add("GET", status, Call("status", "status", (operation,)))
            metrics = left.pop(f"{operation.name} metrics", operation.metrics)
            self._add("GET", metrics, Call("metrics", "metrics", (operation,)))
        for name, (method, path) in SYNC.items():
            self._add(method, left.pop(name, path), Call(name, "sync"))
        if left:
            raise ValueError(f"paths: no call is named {', '.join(sorted(left))}")
        if wrong := [path for path in moved.values() if not path.startswith("/")]:
            raise ValueError(f"paths: a path begins with a slash, not {wrong[0]!r}")

    @property
    def known(self) -> list[str]:
        """Method and path of every call."""
        connectors = [f"POST {path}/{{connectorKey}}" for path, _ in self._connectors]
        return [*(f"{method} {path}" for method, path in self._calls), *connectors]

    def hint(self, request: Request) -> str:
        """What may have been meant by a method and a path that name nothing."""
        path = request.path[:200]
        found = [known for known in self.known if known.partition(" ")[2] == path]
        if not found:
            by_name = {known.lower(): known for known in self.known}
            asked = f"{request.method[:20]} {path}".lower()
            found = [by_name[near] for near in get_close_matches(asked, by_name, n=3)]
        meant = f" Did you mean {' or '.join(found)}?" if found else ""
        return (
            f"there is no such method and path; the keys are not the cause.{meant} GET /_sandbox/ lists all"
        )

    def locate(self, request: Request) -> Call | None:
        """What `request` asks for, or None when its path and method name nothing."""
        found = self._calls.get((request.method, request.path))
        if found is not None or request.method != "POST":
            return found
        for path, call in self._connectors:
            if request.path.startswith(path) and (match := CONNECTOR.fullmatch(request.path[len(path) :])):
                if match["key"] in {"status", "metrics"}:
                    return None
                rest = tuple(segment for segment in match.groups() if segment)
                return Call(call.name, call.kind, call.operations, rest)
        return None

    def _add(self, method: str, path: str, call: Call) -> None:
        there = self._calls.get((method, path))
        if there is not None:
            if there.kind != "status" or call.kind != "status":
                raise ValueError(f"paths: {path} is the path of two calls")
            call = Call("status", "status", there.operations + call.operations)
        self._calls[method, path] = call
