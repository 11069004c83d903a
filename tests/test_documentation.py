"""Every snippet of the README and the docs is type-checked and runs, against a sandbox."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from leadsquared_async.testing import client_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[tuple[str, str]]:
    """The blocks of a language, with names such as README-2."""
    return [
        (f"{page.stem.replace('-', '_')}_{number}", code)
        for page in PAGES
        for number, (kind, code) in enumerate(FENCE.findall(page.read_text()), start=1)
        if kind == language
    ]


def is_program(code: str) -> bool:
    return "asyncio.run(" in code


def as_function(name: str, code: str) -> str:
    """A fragment as an async function that is given an open client, its imports at the top."""
    fragment = ast.parse(f"async def {name}(lsq: LeadSquared) -> None:\n{textwrap.indent(code, '    ')}")
    function = fragment.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    imports = [node for node in function.body if isinstance(node, ast.Import | ast.ImportFrom)]
    function.body = [node for node in function.body if node not in imports] or [ast.Pass()]
    head = "import asyncio\nfrom leadsquared_async import LeadSquared\n"
    return head + "\n".join(map(ast.unparse, imports)) + "\n\n" + ast.unparse(function) + "\n"


@pytest.fixture(autouse=True)
async def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys as a reader has them in the environment, in a folder of its own; a host comes with the test."""
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("ACCESS", Sandbox.access_key),
        ("SECRET", Sandbox.secret_key),
        ("API", Sandbox.api_key),
    ):
        monkeypatch.setenv(f"LEADSQUARED_{name}_KEY", value)


def test_every_snippet_passes_mypy_strict(tmp_path: Path) -> None:
    """What a reader copies type-checks."""
    for name, code in snippets("python"):
        (tmp_path / f"{name}.py").write_text(code if is_program(code) else as_function(name, code))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("name", "code"), snippets("python"), ids=lambda value: value if "\n" not in value else ""
)
async def test_every_snippet_runs(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader copies works, against a LeadSquared on this machine."""
    async with Sandbox() as sandbox:
        if is_program(code):
            monkeypatch.setenv("LEADSQUARED_HOST", sandbox.url)
            ran = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, err = await ran.communicate()
            assert ran.returncode == 0, err.decode()
            assert re.fullmatch(r"[0-9a-f-]{36}\n", out.decode())
        else:
            namespace: dict[str, object] = {}
            exec(compile(as_function(name, code), name, "exec"), namespace)  # the README is ours
            run = namespace[name]
            assert callable(run)
            async with client_of(sandbox) as lsq:
                await run(lsq)
        assert sandbox.books.over_limit == 0


def test_every_make_target_that_is_named_exists() -> None:
    """The commands of README and CONTRIBUTING are in the Makefile."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*PAGES, ROOT / "CONTRIBUTING.md"]
    named = {
        target
        for page in pages
        for target in re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= targets


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub names them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in plain}


def test_every_link_to_a_heading_finds_it() -> None:
    """Links of the pages to a part of a page name a heading of it."""
    pages = [*PAGES, ROOT / "CONTRIBUTING.md"]
    links = [
        (page, *link) for page in pages for link in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    ]
    assert links
    for page, name, anchor in links:
        target = page.parent / name if name else page
        assert anchor in anchors_of(target), f"{page.name}: {name}#{anchor}"


def test_every_link_to_a_file_leads_somewhere() -> None:
    """Relative links of the pages exist."""
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
