"""Check the built site: all links work, nothing comes from another host, each public name has an entry."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from pkgutil import resolve_name
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
SITE = ROOT / "site"
PUBLIC_NAMES = ROOT / "tests" / "surface.txt"


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        targets = [values[name] for name in ("href", "src", "data") if name in values]
        targets += [it.split()[0] for it in values.get("srcset", "").split(",") if it]
        (self.links if tag == "a" else self.loads).extend(targets)


def problems() -> list[str]:
    pages = {path: Page(path) for path in SITE.rglob("*.html")}
    found = [
        f"{path.relative_to(SITE)}: loads {target} from another host"
        for path, page in pages.items()
        for target in page.loads
        if urlsplit(target).netloc
    ]
    found += [
        f"{path.relative_to(SITE)}: {link} leads nowhere"
        for path, page in pages.items()
        for link in page.links + page.loads
        if path.name != "404.html" and not leads_somewhere(link, path, pages)
    ]
    anchors = {anchor for path, page in pages.items() if path.parent.name == "api" for anchor in page.anchors}
    missing = [name for name in public_names() if anchors.isdisjoint({name, place_of(name)})]
    return found + [f"api: {name} has no entry" for name in missing]


def leads_somewhere(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return True
    target = (path.parent / unquote(url.path)).resolve() if url.path else path
    if target in pages:
        return unquote(url.fragment) in pages[target].anchors
    return target.is_file() or (target / "index.html").is_file()


def public_names() -> list[str]:
    return list(dict.fromkeys(re.findall(r"^([\w.]+)", PUBLIC_NAMES.read_text(), re.MULTILINE)))


def place_of(name: str) -> str:
    """Where a name is defined: a class has its entry once, under one of the names by which it is exported."""
    value, owner = resolve_name(name), resolve_name(name.rpartition(".")[0] or name)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(owner, type):
        return f"{owner.__module__}.{owner.__qualname__}.{name.rpartition('.')[2]}"
    return name


if __name__ == "__main__":
    found = problems()
    sys.exit("\n".join(found) if found else 0)
