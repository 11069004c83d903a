"""The page of environment variables has those that the package reads."""

from __future__ import annotations

import re
from pathlib import Path

from leadsquared_async.config import ENVIRONMENT

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "environment.md").read_text()
VARIABLE = re.compile(r"\b(LEADSQUARED_[A-Z_]+|[A-Z]+_PROXY|SSL[A-Z_]+|NO_COLOR|TERM)\b")


def test_the_page_has_each_variable_that_the_package_names() -> None:
    """The first column of the tables has the variables in the package's code, and no other."""
    named = {
        name
        for file in (ROOT / "leadsquared_async").rglob("*.py")
        for name in VARIABLE.findall(file.read_text())
    }
    first_column = " ".join(re.findall(r"^\| (`[^|]+)", PAGE, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_column)) == named


def test_each_variable_is_beside_its_argument() -> None:
    """The first table has a row for each variable of the client, in the order of the code."""
    rows = re.findall(r"^\| `(LEADSQUARED_\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [(variable, argument) for argument, variable in ENVIRONMENT.items()]
