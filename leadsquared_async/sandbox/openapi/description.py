"""The OpenAPI 3.1 description of what a sandbox serves, made from the sandbox's own tables. Pure."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from leadsquared_async.sandbox.answers import HINT, JSON_TYPE
from leadsquared_async.sandbox.faults import FAULTS
from leadsquared_async.sandbox.lead_search import FINDERS
from leadsquared_async.sandbox.openapi import call_schemas, page_schemas, reply_schemas
from leadsquared_async.sandbox.openapi.call_schemas import documented, ref
from leadsquared_async.sandbox.openapi.examples import IN_PATH, Examples
from leadsquared_async.sandbox.openapi.json_schema import TEXT, Schema
from leadsquared_async.sandbox.openapi.page_schemas import PAGES
from leadsquared_async.sandbox.operations import Call, Routes
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

_Object = dict[str, Any]

_INTRODUCTION = """\
A LeadSquared emulator on your own machine, for tests. At one address it serves the asynchronous API and
six calls of the synchronous API. The keys are fixed and fake.

Paths that LeadSquared does not document are inferred. A submission is accepted at once and processed later;
poll the status of its RequestID for the outcome. The reply to a rejected call has the header
`X-Sandbox-Hint`, which LeadSquared does not send; the reply of an injected fault does not have it.

The pages under `/_sandbox/` control the sandbox. They need no keys and are not rate limited.

The replies of the faults `html`, `empty`, `empty-object`, `huge` and `redirect` are not described, because
they do not imitate LeadSquared.
"""

_TAGS = {
    "submissions": "Accepted at once, processed later.",
    "status": "The state and the outcome of a submission.",
    "metrics": "The state of an operation's queue.",
    "synchronous": "LeadSquared serves these calls on another host.",
    "sandbox": "Control the sandbox and read what it received.",
}
_TAG_OF = {"submit": "submissions", "status": "status", "metrics": "metrics", "sync": "synchronous"}

_SECURITY = {
    "accessKey": ("query", "accessKey", ACCESS_KEY),
    "secretKey": ("query", "secretKey", SECRET_KEY),
    "apiKey": ("header", "x-api-key", API_KEY),
    "accessKeyHeader": ("header", "x-LSQ-AccessKey", ACCESS_KEY),
    "secretKeyHeader": ("header", "x-LSQ-SecretKey", SECRET_KEY),
}

_PATH: Mapping[str, Schema] = {
    "connectorKey": {"type": "string", "pattern": "^[0-9A-Za-z_-]+$", "not": {"enum": ["status", "metrics"]}},
    "instanceGuid": {"type": "string", "format": "uuid"},
}
"""The parameters in the path of a call log."""

_STATUSES = {
    "submit": (400, 413, 415),
    "status": (400, 404),
    "metrics": (),
    "sync": (),
    "bulk": (400, 413, 415),
    **dict.fromkeys(FINDERS, (400,)),
}
"""The errors of a kind of call, or of one call, besides those of every call."""
_EVERY_STATUS = (401, 403, 429, 500, 502, 503, 504)

_ERROR_200 = "error-200"


def describe(moved: Mapping[str, str | None], keys: str = "query") -> _Object:
    """The description of a sandbox with these `Settings.paths` and `Settings.keys`."""
    examples = Examples(moved)
    paths: dict[str, _Object] = {}
    for method, path, call in Routes(moved).calls:
        paths.setdefault(path, {})[method.lower()] = _operation(path, call, examples, keys)
    for page, methods in PAGES.items():
        paths[page] = {
            method.lower(): {"operationId": _id(f"{method} {page}"), **operation}
            for method, operation in methods.items()
        }
    described: _Object = {
        "openapi": "3.1.0",
        "info": {"title": "LeadSquared sandbox", "version": "1", "description": _INTRODUCTION},
        "servers": [{"url": "http://127.0.0.1:{port}", "variables": {"port": {"default": "8025"}}}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                scheme: {
                    "type": "apiKey",
                    "in": place,
                    "name": name,
                    "description": f"The sandbox's key: `{key}`",
                }
                for scheme, (place, name, key) in _SECURITY.items()
            },
            "headers": {HINT: {"description": "Why the call was rejected.", "schema": TEXT}},
            "responses": _failures(examples),
            "examples": {_ERROR_200: _error_with_200()},
            "schemas": {**call_schemas.SCHEMAS, **reply_schemas.SCHEMAS, **page_schemas.SCHEMAS},
        },
    }
    copy: _Object = json.loads(json.dumps(described))  # shares no part with the tables
    return copy


def _operation(path: str, call: Call, examples: Examples, keys: str) -> _Object:
    takes = documented(call)
    reply = json.loads(examples.reply(call, path).body)
    shown = {"reply": {"value": reply}, "error": {"$ref": f"#/components/examples/{_ERROR_200}"}}
    body = {JSON_TYPE: {"schema": takes.body, "example": takes.example}}
    content = {JSON_TYPE: {"schema": reply_schemas.reply_schema(call), "examples": shown}}
    failed = sorted({*_EVERY_STATUS, *_STATUSES[call.kind], *_STATUSES.get(call.name, ())})
    return {
        "operationId": _call_id(path, call),
        "summary": takes.summary,
        "tags": [_TAG_OF[call.kind]],
        "security": _security(call, keys),
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": schema, "example": IN_PATH[name]}
                for name, schema in _PATH.items()
                if f"{{{name}}}" in path
            ),
            *(
                {"name": name, "in": "query", "required": name in takes.required, "schema": schema}
                for name, schema in takes.query.items()
            ),
        ],
        **({} if takes.body is None else {"requestBody": {"required": True, "content": body}}),
        "responses": {
            "200": {"description": "OK", "content": content},
            **{str(status): {"$ref": f"#/components/responses/error-{status}"} for status in failed},
        },
    }


def _error_with_200() -> _Object:
    error = FAULTS["200-mx"].answer
    assert error is not None
    return {"summary": "An error with status 200", "value": json.loads(error.body)}


def _security(call: Call, keys: str) -> list[dict[str, list[str]]]:
    api_key: dict[str, list[str]] = {} if call.kind == "sync" else {"apiKey": []}
    if not call.takes_keys:
        return [api_key]
    places: dict[str, dict[str, list[str]]] = {
        "query": {"accessKey": [], "secretKey": []},
        "headers": {"accessKeyHeader": [], "secretKeyHeader": []},
    }
    place = "both" if call.kind == "sync" else keys
    return [names | api_key for name, names in places.items() if place in {name, "both"}]


def _failures(examples: Examples) -> _Object:
    """A response for each status, with an example of each body."""
    by_status: dict[int, dict[str, _Object]] = defaultdict(dict)
    for reason, reply in examples.failures():
        shown = by_status[reply.status]
        value = json.loads(reply.body)
        if value not in [example["value"] for example in shown.values()]:
            hint = {"description": f"X-Sandbox-Hint: {reply.headers[HINT]}"} if HINT in reply.headers else {}
            shown[re.sub(r"\W+", "-", reason)] = {"summary": reason, **hint, "value": value}
    return {
        f"error-{status}": {
            "description": "; ".join(example["summary"] for example in shown.values()),
            "headers": {HINT: {"$ref": f"#/components/headers/{HINT}"}},
            "content": {JSON_TYPE: {"schema": _schema_of_errors(shown), "examples": shown}},
        }
        for status, shown in sorted(by_status.items())
    }


def _schema_of_errors(shown: Mapping[str, _Object]) -> Schema:
    kinds = {"GatewayError" if "message" in example["value"] else "Error" for example in shown.values()}
    refs = [ref(kind) for kind in sorted(kinds)]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _call_id(path: str, call: Call) -> str:
    name = call.operations[0].name if call.operations else call.name
    kind = f" {call.kind}" if call.kind in {"status", "metrics"} else ""
    return _id(f"{name}{kind}{' of instance' if 'instanceGuid' in path else ''}")


def _id(words: str) -> str:
    """An identifier for code generators, such as `captureStatus`."""
    first, *others = re.sub(r"[^A-Za-z0-9]+", " ", words).split()
    return first.lower() + "".join(map(str.capitalize, others))
