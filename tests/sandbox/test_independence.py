"""The sandbox is an independent witness: what it imports, and where."""

import ast
import sys
from pathlib import Path

import pytest

from leadsquared_async import sandbox

MODULES = sorted(Path(sandbox.__file__).parent.glob("*.py"))


def imported(module: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_imports_the_standard_library_httpx_and_the_sandbox_only(module: Path):
    """Only the server's module may also import starlette and uvicorn; none imports the client."""
    allowed = {"httpx", "leadsquared_async"} | (
        {"starlette", "uvicorn"} if module.stem == "server" else set()
    )
    for name in imported(module):
        root = name.partition(".")[0]
        assert root in allowed or root in sys.stdlib_module_names
        if root == "leadsquared_async":
            assert name.startswith("leadsquared_async.sandbox.")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_servers_module_is_imported_inside_a_function_only(module: Path):
    """The sandbox can be imported without its extra."""
    tree = ast.parse(module.read_text("utf-8"))
    at_once = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert "leadsquared_async.sandbox.server" not in at_once


def test_the_public_names_are_sorted_and_exist():
    """`__all__` lists constants, then classes, then functions, each in order."""
    names = sandbox.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(sandbox, name) for name in names)
