"""The calls that exist: the operations of the Async API with their paths, and the synchronous calls.

Copied by hand from LeadSquared's documentation. Undocumented paths are guesses; the setting `paths` overrides
them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    """A submission, its status and its metrics."""

    name: str
    task_type: str
    path: str
    """The path of the submission. Status and metrics are below it, except for a capture's status."""
    read: Callable[[Submission, Records], Work]
    id_name: str = "RequestId"
    """The key of the id in its status; both spellings are documented."""
    rate_name: str = "ProcessingRatePerMinute"
    """The key of the rate in its metrics; both spellings are documented."""
    names_connector: bool = False
    """Whether its path ends with a telephony connector's key and, optionally, an instance's GUID. Such a call
    takes the x-api-key only."""

    @property
    def status_path(self) -> str:
        return "/lead/status" if self.name == "capture" else f"{self.path}/status"


OPERATIONS = (
    Operation("capture", "Lead Capture", "/lead/capture", read_capture),
    Operation("update", "Lead Update", "/lead/update", read_update, id_name="RequestID"),
    Operation("activity", "Activity Create", "/activity/create", read_activity),
    Operation(
        "lead-and-activity",
        "Activity Create Custom",
        "/activity/createcustom",
        read_lead_and_activity,
        id_name="RequestID",
        rate_name="ProcessingratePerMinute",
    ),
    Operation("opportunity", "Opportunity Capture", "/opportunity/capture", read_opportunity),
    Operation(
        "opportunity-update",
        "Opportunity Update",
        "/opportunity/update",
        read_opportunity_update,
        id_name="RequestID",
    ),
    Operation(
        "call-log",
        "Telephony-LogCall",
        "/1/api/telephony/logcallcomplete",
        read_call_log,
        names_connector=True,
    ),
)

SYNC = {
    "fields": ("GET", "/v2/LeadManagement.svc/LeadsMetaData.Get"),
    "bulk": ("POST", "/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"),
    "user": ("GET", "/v2/Authentication.svc/UserByAccessKey.Get"),
    "lead-by-email": ("GET", "/v2/LeadManagement.svc/Leads.GetByEmailaddress"),
    "lead-by-phone": ("GET", "/v2/LeadManagement.svc/RetrieveLeadByPhoneNumber"),
    "lead-by-id": ("GET", "/v2/LeadManagement.svc/Leads.GetById"),
}
"""Method and path of each synchronous call, by its name."""

CALL_NAMES = frozenset({"status", "metrics", *SYNC, *(operation.name for operation in OPERATIONS)})
"""The names of calls in `Faults` and `Books`."""

_CONNECTOR = re.compile(
    r"/(?!(?:status|metrics)(?:/|$))([0-9A-Za-z_-]+)"
    r"(?:/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}))?"
)


@dataclass(frozen=True, slots=True)
class Call:
    """The call that a request makes."""

    name: str
    """One of `CALL_NAMES`."""
    kind: Literal["submit", "status", "metrics", "sync"]
    operations: tuple[Operation, ...] = ()
    """The operation, or several that share a status path."""
    rest: tuple[str, ...] = field(default=(), repr=False)
    """The path segments after the operation's own."""

    @property
    def takes_keys(self) -> bool:
        """Whether it needs accessKey and secretKey."""
        return self.kind == "sync" or (self.kind == "submit" and not self.operations[0].names_connector)


class Routes:
    """Finds the call for a method and a path.

    `moved` overrides paths by the name of the call, as in `Settings.paths`. Raises ValueError for an unknown
    name, a path without a leading slash, and a path shared by two calls that are not both a status.
    """

    def __init__(self, moved: Mapping[str, str | None]) -> None:
        self._calls: dict[tuple[str, str], Call] = {}
        self._connectors: dict[str, Call] = {}
        calls = {name: (method, path, Call(name, "sync")) for name, (method, path) in SYNC.items()}
        for operation in OPERATIONS:
            name, it = operation.name, (operation,)
            calls[name] = "POST", operation.path, Call(name, "submit", it)
            calls[f"{name} status"] = "GET", operation.status_path, Call("status", "status", it)
            calls[f"{name} metrics"] = "GET", f"{operation.path}/metrics", Call("metrics", "metrics", it)
        if unknown := sorted(moved.keys() - calls.keys()):
            raise ValueError(f"paths: no call is called {', '.join(unknown)}")
        for name, (method, usual, call) in calls.items():
            path = moved.get(name, usual)
            if path is None:
                continue
            if not path.startswith("/"):
                raise ValueError(f"paths: a path must begin with a slash, not {path!r}")
            if call.kind == "submit" and call.operations[0].names_connector:
                self._connectors[path] = call
            else:
                self._add(method, path, call)

    @property
    def calls(self) -> list[tuple[str, str, Call]]:
        """Method, path and call of every path; a path's parameters are in braces."""
        connectors = [
            ("POST", f"{path}/{{connectorKey}}{instance}", call)
            for path, call in self._connectors.items()
            for instance in ("", "/{instanceGuid}")
        ]
        return [*((method, path, call) for (method, path), call in self._calls.items()), *connectors]

    @property
    def known(self) -> list[str]:
        """Method and path of every call."""
        return [f"{method} {path}" for method, path, _ in self.calls]

    def locate(self, request: Request) -> Call | None:
        """The call that `request` makes; None for an unknown method and path."""
        found = self._calls.get((request.method, request.path))
        if found is None and request.method == "POST":
            for path, call in self._connectors.items():
                if request.path.startswith(path) and (
                    match := _CONNECTOR.fullmatch(request.path[len(path) :])
                ):
                    return replace(call, rest=tuple(filter(None, match.groups())))
        return found

    def hint(self, request: Request) -> str:
        """A suggestion for an unknown method and path."""
        path = request.path[:200]
        found = [known for known in self.known if known.partition(" ")[2] == path]
        if not found:
            by_name = {known.lower(): known for known in self.known}
            asked = f"{request.method[:20]} {path}".lower()
            found = [by_name[near] for near in get_close_matches(asked, by_name, n=3)]
        meant = f" Did you mean {' or '.join(found)}?" if found else ""
        return f"unknown method and path; the keys are not the cause.{meant} GET /_sandbox/ lists all paths"

    def _add(self, method: str, path: str, call: Call) -> None:
        there = self._calls.get((method, path))
        if there is not None:
            if there.kind != "status" or call.kind != "status":
                raise ValueError(f"paths: two calls have the path {path}")
            call = replace(call, operations=there.operations + call.operations)
        self._calls[method, path] = call
