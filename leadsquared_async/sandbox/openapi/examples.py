"""Example replies for the OpenAPI description: an account answers the example requests."""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from leadsquared_async.sandbox.account import LARGEST_BODY, Account
from leadsquared_async.sandbox.answers import JSON_TYPE, TOO_LONG, Reply, Request
from leadsquared_async.sandbox.faults import FAULTS
from leadsquared_async.sandbox.openapi.call_schemas import CALLS, LEAD_ID
from leadsquared_async.sandbox.operations import Call, Operation, Routes
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

IN_PATH = {"connectorKey": "example-connector", "instanceGuid": "aaaaaaaa-0000-4000-8000-000000000003"}
"""Examples of the parameters in the path of a call log."""

_FIELDS = ("FirstName", "EmailAddress", "Phone", "Source", "mx_City")
_KEYS = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
_API_KEY = {"x-api-key": API_KEY}
_JSON = {"content-type": JSON_TYPE}


class Examples:
    """The replies of an account whose paths are `moved`, as in `Settings.paths`."""

    def __init__(self, moved: Mapping[str, str | None]) -> None:
        # A call that does not exist still has an example, which is not shown.
        moved = {name: f"/absent/{name}" if path is None else path for name, path in moved.items()}
        self._account = Account(paths=moved, attributes=_FIELDS, seed=1)
        calls = Routes(moved).calls
        self._submit_paths = {call.name: path for _, path, call in calls if call.kind == "submit"}
        self._status_path = next(path for _, path, call in calls if call.kind == "status")
        self._bulk_path = next(path for _, path, call in calls if call.name == "bulk")
        self._now = 0.0
        self._post(self._submit_paths["capture"], [{"Attribute": "ProspectID", "Value": LEAD_ID}])

    def reply(self, call: Call, path: str) -> Reply:
        """The reply to the example of a call."""
        match call.kind:
            case "submit":
                return self._submit(call.operations[0])
            case "status":
                request_id = json.loads(self._submit(call.operations[0]).body)["RequestID"]
                return self._get(path, {"RequestID": request_id})
            case "sync" if call.name == "bulk":
                return self._post(path, CALLS["bulk"].example)
            case "sync":
                documented = CALLS[call.name]
                required = {name: documented.query[name]["examples"][0] for name in documented.required}
                return self._get(path, _KEYS | required)
            case _:
                return self._get(path)

    def failures(self) -> Iterator[tuple[str, Reply]]:
        """The replies to calls that fail, each with the reason."""
        capture = self._submit_paths["capture"]
        yield "invalid body", self._post(capture, {})
        yield "RequestID missing", self._get(self._status_path)
        yield "accessKey or secretKey missing or wrong", self._post(capture, {}, query={})
        yield "x-api-key missing or wrong", self._ask("GET", self._status_path)
        yield "unknown method or path", self._ask("PUT", capture)
        yield "unknown RequestID", self._get(self._status_path, {"RequestID": LEAD_ID})
        yield f"body longer than {LARGEST_BODY} bytes", TOO_LONG
        yield "Content-Type missing", self._ask("POST", capture, _KEYS, _API_KEY)
        yield "over the limit", [self._get(self._status_path, after=0) for _ in range(26)][-1]
        yield "wrong number of rows", self._post(self._bulk_path, [])
        for fault in FAULTS.values():
            if fault.answer is not None and fault.answer.status >= 400:
                yield f"fault {fault.name}", fault.answer

    def _submit(self, operation: Operation) -> Reply:
        documented = CALLS[operation.name]
        path = self._submit_paths[operation.name]
        for name, value in IN_PATH.items():
            path = path.replace(f"{{{name}}}", value)
        required = {name: documented.query[name]["examples"][0] for name in documented.required}
        keys = {} if operation.names_connector else _KEYS
        return self._post(path, documented.example, query=keys | required)

    def _post(self, path: str, body: object, query: Mapping[str, str] = _KEYS) -> Reply:
        return self._ask("POST", path, query, _API_KEY | _JSON, json.dumps(body).encode())

    def _get(self, path: str, query: Mapping[str, str] | None = None, *, after: float = 10) -> Reply:
        return self._ask("GET", path, query or {}, _API_KEY, after=after)

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        after: float = 10,
    ) -> Reply:
        """The reply to a call that is made `after` seconds after the previous one."""
        self._now += after
        return self._account.decide(
            Request(method, path, urlencode(query or {}), headers or {}, body), self._now
        )
