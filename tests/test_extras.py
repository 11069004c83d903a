"""Without the extras the package works, and what needs one says which."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import leadsquared_async

ROOT = Path(__file__).parents[1]

# Blocks the import of packages, in an interpreter of its own.
BLOCKED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
EXTRAS = {
    "outbox": {"filelock"},
    "cli": {"typer", "rich", "click"},
    "sandbox": {"starlette", "uvicorn"},
    "otel": {"opentelemetry"},
    "prometheus": {"opentelemetry", "prometheus_client"},
    "phone": {"phonenumbers"},
    "redis": {"redis"},
    "taskiq": {"taskiq", "taskiq_redis"},
}
ALL = set().union(*EXTRAS.values())


def without(names: set[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run some code in an interpreter that has none of these packages."""
    program = BLOCKED.format(names=sorted(names)) + code
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_everything_public_can_be_imported() -> None:
    """`import *` gives all of `__all__` without any extra, and `dir()` lists it before."""
    ran = without(
        ALL,
        "import leadsquared_async\n"
        "missing = set(leadsquared_async.__all__) - set(dir(leadsquared_async))\n"
        "from leadsquared_async import *\n"
        "print(missing, set(leadsquared_async.__all__) - set(globals()), Outbox.__name__)",
    )
    assert (ran.stdout, ran.stderr) == ("set() set() Outbox\n", "")


def test_dir_is_sorted_and_has_no_duplicates() -> None:
    """Names that are imported on first use are in it once, like the others."""
    assert dir(leadsquared_async) == sorted(set(dir(leadsquared_async)))
    assert set(leadsquared_async.__all__) <= set(dir(leadsquared_async))


@pytest.mark.parametrize(
    ("extra", "error", "code"),
    [
        ("outbox", "ConfigurationError", "async with Outbox('leads.db'): pass"),
        ("outbox", "ConfigurationError", "async with LeadSquared(**KEYS) as l, Outbox('leads.db', l): pass"),
        ("phone", "ConfigurationError", "phone('IN')"),
        ("redis", "ConfigurationError", "SharedLimiter('redis://127.0.0.1')"),
        (
            "sandbox",
            "ImportError",
            "from leadsquared_async.sandbox import Sandbox\n    async with Sandbox(): pass",
        ),
        ("taskiq", "ImportError", "import leadsquared_async.integrations.taskiq"),
    ],
)
def test_what_needs_an_extra_names_it_when_it_is_used(
    extra: str, error: str, code: str, tmp_path: Path
) -> None:
    """The error has the command that installs it, and no file is left behind."""
    code = code.replace("leads.db", str(tmp_path / "leads.db"))
    ran = without(
        EXTRAS[extra],
        "import asyncio\nfrom leadsquared_async import *\nfrom leadsquared_async.sandbox import Sandbox\n"
        "KEYS = dict(access_key='access', secret_key='secret', api_key='key', host='http://127.0.0.1:9')\n"
        f"async def main():\n    {code}\n"
        "try:\n    asyncio.run(main())\nexcept Exception as error:\n    print(type(error).__name__, error)",
    )
    assert ran.stderr == ""
    assert re.fullmatch(rf'{error} .* needs? .*: pip install "leadsquared_async\[{extra}\]"\n', ran.stdout)
    assert list(tmp_path.iterdir()) == []


def test_tasks_need_no_outbox() -> None:
    """The extra `taskiq` does not bring that of the outbox."""
    ran = without(EXTRAS["outbox"], "import leadsquared_async.integrations.taskiq")
    assert (ran.returncode, ran.stderr) == (0, "")


COMMAND = "from leadsquared_async.cli import main\nmain()"


@pytest.mark.parametrize("arguments", [(), ("capture", "leads.csv"), ("--help",), ("capture", "--version")])
def test_the_command_without_its_extra(arguments: tuple[str, ...]) -> None:
    """One line with the command that installs it, and the status of wrong usage."""
    ran = without(EXTRAS["cli"], COMMAND, *arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(
        r"leadsquared: this command needs the package (typer|click|rich): "
        r'pip install "leadsquared_async\[cli\]"\n',
        ran.stderr,
    )


def test_the_version_without_the_extra() -> None:
    """It needs no other package."""
    ran = without(EXTRAS["cli"], COMMAND, "--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{leadsquared_async.__version__}\n", "")


def test_a_missing_module_of_the_package_is_not_a_missing_extra() -> None:
    """It is a bug, and its traceback is shown."""
    ran = without(set(), "sys.modules['leadsquared_async.cli.file_run'] = None\n" + COMMAND, "--version")
    assert ran.returncode == 1
    assert "leadsquared_async.cli.file_run" in ran.stderr


def test_how_extras_are_installed_is_spelt_one_way() -> None:
    """In code, docs and examples: double quotes, which every shell takes."""
    pages = (page for kind in ("md", "py", "yaml") for page in (ROOT / "docs").rglob(f"*.{kind}"))
    files = [*(ROOT / "leadsquared_async").rglob("*.py"), *pages, ROOT / "README.md"]
    lines = {line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()}
    advice = [line for line in lines if re.search(r"install .*leadsquared_async\[|with \[[a-z]+\]", line)]
    assert len(advice) > 5
    assert [
        line for line in advice if not re.search(r'pip install "leadsquared_async\[[a-z,]+\]"', line)
    ] == []
