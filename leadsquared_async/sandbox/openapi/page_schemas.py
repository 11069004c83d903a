"""The control plane in the OpenAPI description: what each page takes and returns."""

from collections.abc import Mapping
from typing import Any, Literal

from leadsquared_async.sandbox.answers import HINT, JSON_TYPE, How
from leadsquared_async.sandbox.counters import COUNTERS
from leadsquared_async.sandbox.exchanges import Arrival
from leadsquared_async.sandbox.faults import FAULTS, Faults
from leadsquared_async.sandbox.openapi.call_schemas import ref
from leadsquared_async.sandbox.openapi.json_schema import TEXT, Schema, array_of, closed_object, schema_of
from leadsquared_async.sandbox.operations import CALL_NAMES
from leadsquared_async.sandbox.processing import RequestState
from leadsquared_async.sandbox.records import Lead, Opportunity, PhoneCall
from leadsquared_async.sandbox.settings import CHANGEABLE, KEY_PLACES

_COUNT: Schema = {"type": "integer", "minimum": 0}
_COUNTS: Schema = {"type": "object", "additionalProperties": _COUNT}
_TEXTS = array_of(TEXT)

_FAULT = ref("FaultName")
_FAULT_NAMES: Schema = {
    "enum": [*FAULTS, *(f"{name}+taken" for name, fault in FAULTS.items() if fault.how is not How.REFUSED)]
}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": 86_400}
_FAULTS: Mapping[str, Schema] = schema_of(Faults)["properties"] | {
    **dict.fromkeys(("latency", "jitter", "tail", "drip"), _SECONDS),
    **dict.fromkeys(("system_error", "missing_rows"), _SHARE),
    "probabilities": {
        "description": "The probability of each fault. The sum must be at most 1.",
        "type": "object",
        "propertyNames": _FAULT,
        "additionalProperties": _SHARE,
    },
    "script": array_of(_FAULT) | {"description": "The faults of the next calls."},
    "operations": array_of({"enum": sorted(CALL_NAMES)})
    | {"description": "The calls that get faults. Empty: all calls."},
    "outage_fault": _FAULT,
    "processing_script": array_of({"enum": ["ok", "system-error"]}),
}

_LIMIT: Schema = {
    "description": "The number of calls (an integer) and the window in seconds. Null: no limit.",
    "anyOf": [
        array_of({"type": "number", "minimum": 0.001, "maximum": 1_000_000}, minItems=2, maxItems=2),
        {"type": "null"},
    ],
}
_SETTINGS: Mapping[str, Schema] = {
    "limit": _LIMIT,
    "bulk_limit": _LIMIT,
    "counting": {"enum": list(COUNTERS)},
    "count_refused": {"type": "boolean"},
    "processing_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e12},
    "paths": {
        "description": "Paths that differ, by call, such as `activity status`. Null: it does not exist.",
        "type": "object",
        "additionalProperties": {"type": ["string", "null"]},
    },
    "keys": {
        "description": "Where a submission has its accessKey and secretKey.",
        "enum": list(KEY_PLACES),
    },
}

SCHEMAS: Mapping[str, Schema] = {
    "FaultName": _FAULT_NAMES,
    "SandboxError": closed_object({"error": TEXT}),
    "Faults": closed_object(_FAULTS),
    "Settings": closed_object({name: _SETTINGS[name] for name in CHANGEABLE}),
    "Arrival": schema_of(Arrival),
    "StoredLead": schema_of(Lead),
    "StoredOpportunity": schema_of(Opportunity),
    "StoredCall": schema_of(PhoneCall),
    "RequestState": schema_of(RequestState),
}

_INDEX = closed_object({"sandbox": TEXT, "instance": TEXT, "calls": _TEXTS, "keys": TEXT, "control": _TEXTS})
_ARRIVALS = closed_object({"most_arrivals": _COUNT, "arrivals": array_of(ref("Arrival"))})
_SUMMARY = closed_object(
    {
        "now": {"description": "Seconds on the sandbox's clock.", "type": "number"},
        **dict.fromkeys(("arrivals", "most_arrivals", "over_limit", "accepted", "repeated"), _COUNT),
        **dict.fromkeys(("most_attempts", "leads", "duplicates", "opportunities", "calls"), _COUNT),
        **dict.fromkeys(("by_outcome", "by_status"), _COUNTS),
        "misplaced_keys": _TEXTS,
    }
)


def _response(description: str, schema: Schema, **others: Any) -> dict[str, Any]:
    return {"description": description, "content": {JSON_TYPE: {"schema": schema}}, **others}


def _error(description: str) -> dict[str, Any]:
    return _response(
        description, ref("SandboxError"), headers={HINT: {"$ref": f"#/components/headers/{HINT}"}}
    )


_FORBIDDEN = _error("The request came from another website, or its Host is not loopback.")


def _page(summary: str, returns: Schema | Literal["nothing"]) -> dict[str, Any]:
    """A page without a body."""
    done = {"204": {"description": "Done."}} if returns == "nothing" else {"200": _response("OK", returns)}
    return {
        "summary": summary,
        "tags": ["sandbox"],
        "security": [],
        "responses": done | {"403": _FORBIDDEN},
    }


def _change(
    summary: str, properties: Mapping[str, Schema], example: object, returns: Schema
) -> dict[str, Any]:
    """A page that changes the options in its body and returns all of them."""
    page = _page(summary, returns)
    body = {"schema": closed_object(properties, []), "example": example}
    return page | {
        "requestBody": {"required": True, "content": {JSON_TYPE: body}},
        "responses": page["responses"] | {"400": _error("The body is invalid; nothing was changed.")},
    }


PAGES: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "/_sandbox/": {"GET": _page("List all calls and pages (a browser gets the window)", _INDEX)},
    "/_sandbox/openapi.json": {"GET": _page("Get this description", {"type": "object"})},
    "/_sandbox/reset": {
        "POST": _page(
            "Delete all records and restore the initial settings, faults and random seed", "nothing"
        ),
    },
    "/_sandbox/faults": {
        "GET": _page("Get the current faults", ref("Faults")),
        "PUT": _change(
            "Change the fault options in the body and keep the others",
            _FAULTS,
            {"script": ["503", "lost+taken"]},
            ref("Faults"),
        ),
        "DELETE": _page("Remove all faults", ref("Faults")),
    },
    "/_sandbox/requests": {
        "GET": _page("List the accepted requests and their states", array_of(ref("RequestState"))),
    },
    "/_sandbox/leads": {"GET": _page("List the leads", array_of(ref("StoredLead")))},
    "/_sandbox/arrivals": {"GET": _page("List every call that reached the account", _ARRIVALS)},
    "/_sandbox/summary": {"GET": _page("Get the counts", _SUMMARY)},
    "/_sandbox/opportunities": {"GET": _page("List the opportunities", array_of(ref("StoredOpportunity")))},
    "/_sandbox/calls": {"GET": _page("List the logged phone calls", array_of(ref("StoredCall")))},
    "/_sandbox/settings": {
        "GET": _page("Get the settings that can be changed", ref("Settings")),
        "PUT": _change(
            "Change the settings in the body and keep the others; a changed limit restarts counting at zero",
            _SETTINGS,
            {"limit": [10, 5], "counting": "fixed-window"},
            ref("Settings"),
        ),
    },
}
"""The OpenAPI operation of each page and method."""
