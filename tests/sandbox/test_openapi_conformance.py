"""A running sandbox does what its OpenAPI description says: schemathesis sends calls, checks replies."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from leadsquared_async.sandbox import FAULTS, Faults, Sandbox

schemathesis = pytest.importorskip(
    "schemathesis", reason="the lowest versions have an older rich than it needs"
)

import requests  # noqa: E402 - a dependency of schemathesis
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.core.parameters import ParameterLocation  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

from .test_openapi import description  # noqa: E402

CONFORMANCE = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
DESCRIPTION = description()
CALLS, PAGES = (
    [
        (method, path)
        for path, methods in DESCRIPTION["paths"].items()
        for method in methods
        if path.startswith("/_sandbox/") is of_the_sandbox
    ]
    for of_the_sandbox in (False, True)
)
EXAMPLES = pytest.mark.parametrize("examples", [12, pytest.param(60, marks=pytest.mark.slow)])
ALIKE = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
"""The same calls in each run."""

BEYOND_SCHEMAS = (
    *("is a duplicate", "is not a date in the format", "has no unique field", "cannot be combined"),
    *("the sum must be at most 1", "the earlier one first", "calls in 0.001 to 86400 seconds"),
    "is not a number of seconds",  # 90.0 is an integer in JSON Schema
)
"""Rules that the description states in words only, by the hint of the rejection."""


class Described:
    """A sandbox without a limit, and the description that it serves."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.client = httpx.Client(base_url=sandbox.url, trust_env=False)
        self.served = self.client.get("/_sandbox/openapi.json").json()
        self.schema = schemathesis.openapi.from_dict(self.served)
        self.schema.config.update(base_url=sandbox.url)

    def operation(self, method: str, path: str) -> Any:
        return self.schema[path][method]

    def keys(self, method: str, path: str) -> tuple[dict[str, str], dict[str, str]]:
        """The query and the headers with the keys that the description names."""
        query: dict[str, str] = {}
        headers: dict[str, str] = {}
        requirement = next(iter(self.served["paths"][path][method]["security"]), {})
        for name in requirement:
            scheme = self.served["components"]["securitySchemes"][name]
            place = query if scheme["in"] == "query" else headers
            place[scheme["name"]] = scheme["description"].split("`")[1]
        return query, headers

    def send_example(self, method: str, path: str, *, with_keys: bool = True) -> httpx.Response:
        """Make a call with the description's own examples."""
        described = self.served["paths"][path][method]
        query, headers = self.keys(method, path) if with_keys else ({}, {})
        for parameter in described.get("parameters", []):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
            elif parameter["required"]:
                shown = parameter["schema"].get("examples", ["aaaaaaaa-0000-4000-8000-000000000009"])
                query[parameter["name"]] = shown[0]
        content = described.get("requestBody", {}).get("content", {})
        body = content.get("application/json", {}).get("example")
        return self.client.request(
            method, path, params=query, headers=headers, **({} if body is None else {"json": body})
        )


@contextmanager
def running(**options: Any) -> Iterator[Described]:
    """A sandbox in a thread: schemathesis is not asynchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    sandbox = Sandbox(processing_rate=1e9, **options)
    try:
        run(sandbox.__aenter__())
        described = Described(sandbox)
        yield described
        described.client.close()
        run(sandbox.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def described() -> Iterator[Described]:
    """A sandbox for calls; nothing changes its faults for good."""
    with running(limit=None, bulk_limit=None) as described:
        yield described


@pytest.fixture
def used() -> Iterator[Described]:
    """A sandbox of a test's own, with one of everything in its books."""
    with running() as used:
        for method, path in CALLS:
            used.send_example(method, path)
        yield used


def check_replies(described: Described, method: str, path: str, mode: Any, examples: int = 12) -> None:
    """Send generated calls, and check the replies; each rejection has a hint."""
    operation = described.operation(method, path)
    query, headers = described.keys(method, path)
    with requests.Session() as session:
        session.trust_env = False

        @given(operation.as_strategy(generation_mode=mode))
        @settings(ALIKE, max_examples=examples)
        def check(case: Any) -> None:
            response = case.call(session=session, params=query, headers=headers)
            case.validate_response(response, checks=CONFORMANCE)
            (hint,) = response.headers.get("x-sandbox-hint", [""])
            assert response.status_code < 400 or hint, "a rejection without an explanation"
            if mode is GenerationMode.POSITIVE and not any(rule in hint for rule in BEYOND_SCHEMAS):
                assert response.status_code < 300 or "no request with this RequestID" in hint, hint
            body = case.meta.components.get(ParameterLocation.BODY)
            if body is not None and body.mode is GenerationMode.NEGATIVE:
                assert 400 <= response.status_code < 500 or "at most 25 leads" in hint, hint

        check()


@EXAMPLES
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_calls_as_described_are_accepted(described: Described, method: str, path: str, examples: int):
    """A call that the description allows is accepted, with a reply that the description has."""
    check_replies(described, method, path, GenerationMode.POSITIVE, examples)


@EXAMPLES
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_other_calls_are_rejected_as_described(described: Described, method: str, path: str, examples: int):
    """A call that the description does not allow gets a described reply; a wrong body gets a 4xx."""
    check_replies(described, method, path, GenerationMode.NEGATIVE, examples)


@pytest.mark.parametrize(("method", "path"), PAGES)
def test_pages_are_as_described(used: Described, method: str, path: str):
    """A page with records in it has the described content."""
    check_replies(used, method, path, GenerationMode.POSITIVE)


@pytest.mark.parametrize(("method", "path"), [page for page in PAGES if page[0] == "put"])
def test_wrong_changes_are_rejected_as_described(used: Described, method: str, path: str):
    """A body that the description does not allow is a 400."""
    check_replies(used, method, path, GenerationMode.NEGATIVE)


@pytest.mark.parametrize(("method", "path"), [*CALLS, *PAGES])
def test_examples_work(described: Described, method: str, path: str):
    """The description's examples, sent with the keys that it names, are accepted."""
    response = described.send_example(method, path)
    described.operation(method, path).validate_response(response)
    assert response.status_code in ({404} if path.endswith("/status") else {200, 204})
    described.sandbox.books.reset()


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_calls_without_keys_are_rejected_as_described(described: Described, method: str, path: str):
    """Each call needs the keys that its description names."""
    response = described.send_example(method, path, with_keys=False)
    described.operation(method, path).validate_response(response)
    assert response.status_code in {401, 403}


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if not fault.taken])
def test_replies_of_faults_are_described(described: Described, fault: str):
    """Every call that gets a fault has a described reply, unless LeadSquared did not write it."""
    if fault in {"html", "empty", "empty-object", "huge", "redirect", "reset", "refused", "hang"}:
        assert f"`{fault}`" in DESCRIPTION["info"]["description"] or FAULTS[fault].answer is None
        return
    described.sandbox.faults = Faults(probabilities={fault: 1.0})
    try:
        for method, path in CALLS:
            response = described.send_example(method, path)
            described.operation(method, path).validate_response(response)
    finally:
        described.sandbox.faults = Faults()


def test_a_call_over_the_limit_is_described(used: Described):
    """The 429 of each kind of call is in the description."""
    used.client.put("/_sandbox/settings", json={"limit": [1, 5], "bulk_limit": [1, 5]}).raise_for_status()
    for _ in range(2):
        replies = [(call, used.send_example(*call)) for call in CALLS]
    assert {reply.status_code for _, reply in replies} == {429}
    for call, reply in replies:
        used.operation(*call).validate_response(reply)


def test_a_reply_that_is_not_described_is_noticed(described: Described):
    """The checks can fail."""
    described.sandbox.faults = Faults(script=("empty-object",))
    response = described.send_example("post", "/lead/capture")
    assert (response.status_code, response.json()) == (200, {})
    with pytest.raises(Exception, match="Response violates schema"):
        described.operation("post", "/lead/capture").validate_response(response)
