"""What a user meets first: names, `dir()`, `help()`, reprs and signatures."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import re
from pathlib import Path

import pytest

import leadsquared_async
from leadsquared_async import (
    Credentials,
    InvalidLead,
    LeadSquared,
    QueueMetrics,
    RateLimit,
    Receipt,
    Rejected,
    RequestState,
    RequestStatus,
    Result,
    RetryPolicy,
    Secret,
    submissions,
)
from leadsquared_async.fields import LeadField
from tests.test_surface import MODULES, STORED

ROOT = Path(__file__).parents[1]
RESOURCES = ("leads", "activities", "opportunities", "calls", "fields", "bulk")
KEYS = {"access_key": "the-access-key", "secret_key": "the-secret-key", "api_key": "the-api-key"}
LSQ = LeadSquared(**KEYS, region="in21")
ACCEPTED = Receipt("3f0c2c4e", attempts=1, waited=0.0)


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_package_lists_its_public_names() -> None:
    """`dir()`, `__all__` and `import *` are the same sorted list."""
    names: dict[str, object] = {}
    exec("from leadsquared_async import *", names)
    assert dir(leadsquared_async) == leadsquared_async.__all__ == sorted(leadsquared_async.__all__)
    assert names.keys() - {"__builtins__"} == set(leadsquared_async.__all__)
    assert (Path(leadsquared_async.__file__).parent / "py.typed").is_file()


def test_a_client_and_its_resources_list_what_they_can_do() -> None:
    """Nothing else is public on them."""
    of_requests = {"status", "wait", "wait_many", "metrics"}
    assert public(LSQ) == of_requests | set(RESOURCES) | {
        *("submit", "submit_many", "request", "verify", "with_options", "snapshot", "aclose"),
    }
    assert public(LSQ.leads) == of_requests | {"capture", "capture_many", "find", "update"}
    assert public(LSQ.activities) == of_requests | {"create", "create_with_lead"}
    assert public(LSQ.opportunities) == of_requests | {"capture", "update"}
    assert public(LSQ.calls) == of_requests | {"log"}
    assert public(LSQ.fields) == {"list", "get", "check", "require"}
    assert public(LSQ.bulk) == {"create_or_update"}


def test_what_the_documentation_imports_is_exported() -> None:
    """From the package, or from one of its public parts."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs" / "examples").rglob("*.py")]
    pattern = re.compile(r"^ *from (leadsquared_async[\w.]*) import (\([^)]+\)|.+)$", re.MULTILINE)
    found = [match for page in pages for match in pattern.findall(page.read_text())]
    assert len(found) > 20
    for module, names in found:
        assert module in MODULES
        imported = {name.split()[0] for name in re.sub(r"[()]|#.*", "", names).split(",") if name.strip()}
        assert imported <= set(importlib.import_module(module).__all__), (module, names)


KNOWN = {
    *("Any", "AsyncIterable", "AsyncIterator", "Awaitable", "Callable", "Collection", "Iterable", "Literal"),
    *("Mapping", "Sequence", "Self", "Unpack", "AsyncLimiter", "httpx", "datetime", "UUID", "Decimal", "os"),
    *("None", "bool", "bytes", "dict", "float", "int", "list", "object", "str", "tuple", "type"),
    *("C", "E", "L", "Q", "R", "T"),  # type variables
}
OF_OTHER_PARTS = re.compile(r"leadsquared_async\.(sandbox|integrations|SharedLimiter)\.")
MADE_BY_THE_CLIENT = re.compile(r"leadsquared_async\.LeadSquared\.\w+\(parts: ")


def test_public_signatures_name_public_types_only() -> None:
    """What an argument or a result is called can be imported; resources are made by their client."""
    exported = {name for module in MODULES for name in importlib.import_module(module).__all__}
    exported |= set(importlib.import_module("leadsquared_async.errors").__all__)
    exported |= set(importlib.import_module("leadsquared_async.operations").__all__)
    for line in STORED.read_text().splitlines():
        if OF_OTHER_PARTS.match(line) or MADE_BY_THE_CLIENT.match(line):
            continue
        for annotation in re.findall(r"""(?:: |-> )('[^']*'|"[^"]*")""", line):
            tree = ast.parse(ast.literal_eval(annotation), mode="eval")
            named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            assert named <= KNOWN | exported, line


@pytest.mark.parametrize("name", RESOURCES)
def test_help_of_a_resource_shows_its_methods(name: str) -> None:
    """With their signatures and docstrings, as for the class it is."""
    kind = getattr(LeadSquared, name)
    shown = pydoc.plain(pydoc.render_doc(kind))
    for method in public(kind):
        # From Python 3.13 on a long signature has a line for each parameter.
        assert re.search(rf"\b{method}\([\s|]*self\b", shown), method
        assert (inspect.getdoc(getattr(kind, method)) or "").partition("\n")[0] in shown


def test_help_of_the_client_names_its_resources() -> None:
    """Each with what it is for."""
    shown = pydoc.plain(pydoc.render_doc(LeadSquared))
    for name in RESOURCES:
        first = (inspect.getdoc(getattr(LeadSquared, name)) or "").partition("\n")[0]
        assert f" |  {name}\n |      {first}" in shown


EVERY_METHOD = sorted(
    {
        getattr(kind, name)
        for kind in (LeadSquared, *(getattr(LeadSquared, resource) for resource in RESOURCES))
        for name in public(kind)
        if inspect.isfunction(getattr(kind, name))
    },
    key=lambda method: method.__qualname__,
)


@pytest.mark.parametrize("method", EVERY_METHOD, ids=lambda method: method.__qualname__)
def test_a_docstring_says_how_a_method_is_called(method: object) -> None:
    """An example that parses, each parameter, and what is raised."""
    doc = inspect.getdoc(method) or ""
    name = method.__name__  # type: ignore[attr-defined]
    example = re.search(r"\nExample:\n((?: {4}.*\n)+)", doc)
    assert example is not None
    assert f"{name}(" in example[1]
    ast.parse(f"async def example():\n{example[1]}")
    parameters = inspect.signature(method).parameters.keys() - {"self"}  # type: ignore[arg-type]
    assert {it for it in parameters if not re.search(rf"^ +\*?{it}: |`{it}`", doc, re.MULTILINE)} == set()
    assert "\nRaises:\n" in doc


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (LSQ, "LeadSquared(host='https://asyncapi-in21.leadsquared.com', rate_limit=25/5)"),
        (LSQ.leads, "<Leads of LeadSquared(host='https://asyncapi-in21.leadsquared.com')>"),
        (LSQ.leads.capture_many([{}]), "<Results of leads.capture>"),
        (ACCEPTED, "Receipt(request_id='3f0c2c4e', attempts=1, waited=0.0)"),
        (
            RequestStatus(
                "3f0c2c4e", RequestState.FAILED, "Failure", is_final=True, reason="Bret", message={}
            ),
            "RequestStatus(request_id='3f0c2c4e', state='failed', raw_state='Failure', is_final=True)",
        ),
        (Result(3, {"FirstName": "Bret"}, receipt=ACCEPTED), f"Result(index=3, receipt={ACCEPTED!r})"),
        (QueueMetrics(1, 2.0, 3.0), "QueueMetrics(pending=1, max_delay=2.0, rate_per_minute=3.0)"),
        (submissions.capture_lead({"FirstName": "Bret"}), "Submission(operation=<Operation leads.capture>)"),
        (LeadField("mx_City", max_length=9), "LeadField(schema_name='mx_City', max_length=9)"),
        (RateLimit(10), "RateLimit(calls=10, per=5.0, margin=0.02)"),
        (RetryPolicy(), "RetryPolicy(attempts=6, base=0.5, cap=20.0, unknown='safe')"),
        (Secret("a-key"), "Secret('**********')"),
        (
            Credentials(**KEYS),
            "Credentials(access_key={0}, secret_key={0}, api_key={0})".format("Secret('**********')"),
        ),
        (InvalidLead("Tags: cannot encode a list."), "InvalidLead('Tags: cannot encode a list.')"),
        (Rejected("leads.capture: no", body="Bret"), "Rejected('leads.capture: no')"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_a_repr_is_short(thing: object, shown: str) -> None:
    """What differs from the defaults, and neither keys nor values."""
    assert repr(thing) == shown
