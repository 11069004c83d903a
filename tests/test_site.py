"""The documentation site has all pages and all public names; `make docs` builds it and checks its links."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tests.test_surface import MODULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
AT_THE_TOP = {"index.md", "CHANGELOG.md", "CONTRIBUTING.md"}


def pages_in(navigation: list[Any] | str) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
    else:
        yield from (page for entry in navigation for target in entry.values() for page in pages_in(target))


def test_the_navigation_has_every_page_once() -> None:
    """Each page of docs is in the `nav` of zensical.toml, and each page of `nav` exists."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(pages_in(project["nav"])) == sorted([*pages, *AT_THE_TOP])


def test_every_public_name_has_an_entry() -> None:
    """A page of docs/api shows each exported value, itself or with all of its module."""
    pages = "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.md")))
    shown = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    assert len(shown) == len(set(shown))
    entries = [*shown, *(name for module in MODULES if module in shown for name in exports_of(module))]
    shown_values = [resolve_name(name) for name in entries]
    exported = [name for module in MODULES for name in exports_of(module)]
    assert [name for name in exported if resolve_name(name) not in shown_values] == []


def exports_of(module: str) -> list[str]:
    return [f"{module}.{name}" for name in resolve_name(module).__all__]
