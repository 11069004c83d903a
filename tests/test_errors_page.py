"""The page of errors has a row for each class: `python -m tests.test_errors_page` writes the causes anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from leadsquared_async import LeadSquaredError, errors

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", re.MULTILINE)


def causes() -> dict[str, str]:
    """The first paragraph of the docstring of each error, in the order of the module."""
    kinds = [value for value in vars(errors).values() if inspect.isclass(value)]
    return {
        kind.__name__: (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
        for kind in kinds
        if issubclass(kind, LeadSquaredError)
    }


def test_the_page_has_the_cause_of_each_error() -> None:
    """A row has what the docstring of the class says."""
    found = {name: cause for name, cause, _ in ROW.findall(PAGE.read_text())}
    assert list(found.items()) == list(causes().items()), (
        "changed on purpose? python -m tests.test_errors_page"
    )


def test_each_error_has_a_remedy() -> None:
    """A row says what to do."""
    assert all(remedy for _, _, remedy in ROW.findall(PAGE.read_text()))


if __name__ == "__main__":
    rows = ROW.sub(lambda row: f"| `{row[1]}` | {causes()[row[1]]} | {row[3]} |", PAGE.read_text())
    PAGE.write_text(rows)
