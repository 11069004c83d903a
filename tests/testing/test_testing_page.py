"""docs/testing.md: its files are a project whose tests pass, and which type-checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
FILE = re.compile(r"^```(?:py|ini)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(folder: Path, *command: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    files = FILE.findall(PAGE.read_text())
    assert len(files) == PAGE.read_text().count("```py\n") + PAGE.read_text().count("```ini\n")
    for name, content in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_the_first_test_of_the_page_is_green(project: Path) -> None:
    """With nothing but the first three files."""
    (project / "conftest.py").unlink()
    assert "1 passed" in run(project, "pytest", "test_enquiries.py")


def test_all_tests_of_the_page_are_green(project: Path) -> None:
    """Without a warning, and without waiting in real time."""
    shown = run(project, "pytest", "-W", "error", "--durations=3")
    number = len(re.findall(r"^ *async def test_", PAGE.read_text(), re.MULTILINE))
    assert f"{number} passed" in shown


def test_the_message_on_the_page_is_the_one_that_is_shown(project: Path) -> None:
    """When another name is expected than was sent."""
    test = project / "test_enquiries.py"
    test.write_text(test.read_text().replace('(FirstName="Bret"', '(FirstName="Bert"'))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", test.name], cwd=project, capture_output=True, text=True, check=False
    )
    shown = re.sub(r"^E +", "", ran.stdout, flags=re.MULTILINE)
    expected = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    assert [line.strip() for line in expected.splitlines()] == [
        line.strip() for line in shown[shown.index("AssertionError") :].splitlines()[: expected.count("\n")]
    ]


def test_the_page_passes_mypy_strict(project: Path) -> None:
    """What a reader copies type-checks."""
    run(project, "mypy", "--strict", "--config-file=", "--exclude", "with_fields", ".")
