"""Who may import whom: data flows one way, and the sandbox is an independent witness."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import leadsquared_async

PACKAGE = Path(leadsquared_async.__file__).parent
NAME = "leadsquared_async"

# From what everything may use to what nothing may use; a part imports only from parts above it.
LAYERS = [
    {"_version", "cleanup", "clock", "printable"},
    {"models"},
    {"errors"},  # one of them carries a status
    {"config", "operations", "source", "value_text"},
    {"events", "hosts"},
    {"logs"},
    {"submissions"},
    {"attributes"},
    {"encoding", "protocol"},
    {"retry"},
    {"contact"},
    {"fields"},
    {"limiter", "telemetry"},
    {"http"},
    {"delivery"},
    {"tracking"},
    {"results"},
    {"batch"},
    {"resources", "client_metrics"},
    {"client"},
    {"outbox"},
    {""},  # the package itself: the public names
    {"testing", "integrations"},
    {"cli", "pytest_plugin"},
    {"__main__"},
]
MAY_USE_THE_SANDBOX = {"testing", "cli", "pytest_plugin", "__main__", "sandbox"}


def part_of(module: str) -> str:
    """The top-level part of a module's name: "http" for leadsquared_async.limiter.queue."""
    return module.removeprefix(NAME).removeprefix(".").partition(".")[0]


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def imports_of(path: Path) -> Iterator[str]:
    """Every module of the package that a file imports, inside functions and for type checkers included."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names = [
                f"{module}.{alias.name}" if (PACKAGE.parent / module.replace(".", "/")).is_dir() else module
                for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name == NAME or name.startswith(f"{NAME}."))


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield (
            ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"),
            path,
        )


def imported_part(name: str) -> str:
    """The part a name lives in; a public name that is imported from the package belongs to the package."""
    part = part_of(name)
    exists = (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()
    return part if exists else ""


@pytest.mark.parametrize(
    ("module", "path"), list(modules()), ids=lambda value: str(value) if "." in str(value) else ""
)
def test_imports_point_one_way(module: str, path: Path) -> None:
    """Each part imports from its own and from those above it in the list, and from nothing else."""
    mine = part_of(module)
    for name in imports_of(path):
        theirs = imported_part(name)
        if "sandbox" in {mine, theirs}:
            assert mine in MAY_USE_THE_SANDBOX, f"{module} imports {name}"
            assert mine != "sandbox" or theirs == "sandbox", f"the sandbox imports {name} of the client"
        elif theirs != mine:
            assert layer_of(theirs) < layer_of(mine), f"{module} imports {name}"


def test_nothing_outside_the_outbox_imports_its_internals() -> None:
    """The rest of the package uses what `leadsquared_async.outbox` exports."""
    internals = {module for module, _ in modules() if module.startswith(f"{NAME}.outbox.")}
    assert internals
    for module, path in modules():
        if part_of(module) != "outbox":
            assert not internals & set(imports_of(path)), module


def test_every_part_has_its_place() -> None:
    """A new folder or file at the top has to be put into the list."""
    parts = {part_of(module) for module, _ in modules()}
    assert parts == set().union(*LAYERS) | {"sandbox"}


def test_an_arrow_against_the_order_is_seen(tmp_path: Path) -> None:
    """The test can fail: an import inside a function counts too."""
    file = tmp_path / "bad.py"
    file.write_text("def late():\n    from leadsquared_async.client import LeadSquared\n")
    assert [imported_part(name) for name in imports_of(file)] == ["client"]


def test_no_two_test_files_have_one_name() -> None:
    """A name in a report says which file it is."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
