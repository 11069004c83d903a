"""The OpenAPI description: stored in docs/openapi.json, and made from the tables that the sandbox serves by.

After an intended change, write the file with `python -m tests.sandbox.test_openapi`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async.sandbox import Account, Books, Request
from leadsquared_async.sandbox.control import PREFIX, ROUTES, answer
from leadsquared_async.sandbox.openapi.json_schema import schema_of
from leadsquared_async.sandbox.operations import CALL_NAMES

from .calls import ACCESS_KEY, API_KEY, SECRET_KEY, content

STORED = Path(__file__).parent.parent.parent / "docs" / "openapi.json"


def description(**options: Any) -> dict[str, Any]:
    """The description that a sandbox with these options serves."""
    page = Request("GET", "/_sandbox/openapi.json", headers={"host": "127.0.0.1:8025"})
    reply = answer(page, Books(Account(**options), lambda: 0.0))
    assert reply.headers["content-type"] == "application/json"
    return content(reply)


def stored_text() -> str:
    return json.dumps(description(), indent=2) + "\n"


def test_the_stored_description_is_what_a_sandbox_serves():
    """docs/openapi.json is up to date."""
    assert stored_text() == STORED.read_text(), "changed on purpose? python -m tests.sandbox.test_openapi"


def test_it_is_the_same_each_time_and_shares_nothing():
    """Changing a description changes no other one."""
    books = Books(Account(), lambda: 0.0)
    before = json.dumps(books.openapi)
    books.openapi["components"]["schemas"]["Lead"].clear()
    assert json.dumps(books.openapi) == before


def test_every_call_and_every_page_is_described():
    """What the index lists is in the description, and nothing else."""
    books = Books(Account(), lambda: 0.0)
    pages = [
        f"{method} {PREFIX}{page}"
        for page, methods in ROUTES.items()
        for method in methods
        if not page.startswith("window/")
    ]
    described = [
        f"{method.upper()} {path}" for path, methods in description()["paths"].items() for method in methods
    ]
    assert sorted(described) == sorted([*books.paths, *pages])


def test_moved_paths_are_described_where_they_are():
    """Several operations may share a status path; its reply is one of theirs."""
    paths = {"capture": "/x/{y}", "activity status": "/status", "update status": "/status"}
    described = description(paths=paths)["paths"]
    assert "/x/{y}" in described
    assert not {"/lead/capture", "/activity/create/status", "/lead/update/status"} & described.keys()
    replies = described["/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    names = [schema["required"][0] for schema in replies["anyOf"] if "required" in schema]
    assert names == ["RequestID", "RequestId"]


def test_each_operation_has_an_id_of_its_own():
    """Code generators name functions after them."""
    ids = [
        operation["operationId"]
        for methods in description()["paths"].values()
        for operation in methods.values()
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in ids)
    assert {"capture", "captureStatus", "leadAndActivityMetrics", "bulk", "putSandboxFaults"} <= set(ids)


SAID = {
    "400": {"MXInvalidInputException"},
    "401": {"Invalid AccessKey or SecretKey", "use the host asyncapi-in21.leadsquared.com"},
    "403": {'{"message": "Forbidden"}', '{"message": "Missing Authentication Token"}'},
    "404": {'{"message": "Not Found"}'},
    "413": {'{"message": "Request Too Long"}'},
    "415": {'{"message": "Unsupported Media Type"}'},
    "429": {"API calls exceeded the limit of 25 in 5 second(s)", '{"message": "Limit Exceeded"}'},
    "500": {'{"message": "Internal server error"}', "A Lead with same Email already exists."},
    "502": {'{"message": "Internal server error"}'},
    "503": {'{"message": "Service Unavailable"}'},
    "504": {'{"message": "Endpoint request timed out"}'},
}


def test_every_error_has_its_status_and_words():
    """The examples are worded as LeadSquared words its errors."""
    responses = description()["components"]["responses"]
    assert responses.keys() == {f"error-{status}" for status in SAID}
    for status, words in SAID.items():
        shown = responses[f"error-{status}"]["content"]["application/json"]["examples"]
        bodies = " ".join(json.dumps(example["value"]) for example in shown.values())
        assert all(text in bodies for text in words), bodies


def strings_of(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for part in value.items() for text in strings_of(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in strings_of(part))
    elif isinstance(value, str):
        yield value


def test_keys_and_people_are_visibly_fake():
    """Only the sandbox's keys, addresses at example.com and numbers from 555-01."""
    text = "\n".join(strings_of(description()))
    assert set(re.findall(r"u\$r\w+|\b[0-9a-f]{40}\b|\b(?:Sandbox\w+){4}\b", text)) == {
        ACCESS_KEY,
        SECRET_KEY,
        API_KEY,
    }
    assert {host for _, host in re.findall(r"([\w.]+)@([\w.]+)", text)} == {"example.com"}
    assert all("55501" in number for number in re.findall(r"\+[0-9-]{8,}", text))


def test_calls_in_faults_are_an_enumeration():
    """A program in another language sees which names are valid."""
    faults = description()["components"]["schemas"]["Faults"]["properties"]
    assert set(faults["operations"]["items"]["enum"]) == CALL_NAMES


@pytest.mark.parametrize("kind", [bytes, set[str], object])
def test_a_type_without_a_schema_raises(kind: object):
    """A new field of a record is not described wrongly."""
    with pytest.raises(TypeError, match="no JSON Schema"):
        schema_of(kind)


if __name__ == "__main__":
    STORED.write_text(stored_text())
