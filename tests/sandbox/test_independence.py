"""The sandbox is an independent witness: what it imports, and where."""

import ast
import sys
from pathlib import Path

import pytest

from leadsquared_async import sandbox


@pytest.mark.parametrize("module", sorted(Path(sandbox.__file__).parent.glob("*.py")), ids=lambda m: m.stem)
def test_a_module_imports_the_standard_library_httpx_and_the_sandbox_only(module: Path):
    """Only the server's module imports starlette and uvicorn, and it is imported inside a function only."""
    tree = ast.parse(module.read_text("utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    extra = {"starlette", "uvicorn"} if module.stem == "server" else set()
    for name in names:
        root = name.partition(".")[0]
        assert name.startswith("leadsquared_async.sandbox.") or root in {
            *("httpx", *extra),
            *sys.stdlib_module_names,
        }
    at_once = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert "leadsquared_async.sandbox.server" not in at_once
