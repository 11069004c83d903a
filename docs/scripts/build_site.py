"""Build the documentation site into `site/`: `make docs` runs this, and then `docs/scripts/check_site.py`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / ".pages"
SITE = ROOT / "site"
AT_THE_TOP = {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
"""Pages outside docs, and their names in the site."""


def main() -> None:
    copy_pages()
    shutil.rmtree(SITE, ignore_errors=True)
    zensical = [Path(sys.executable).with_name("zensical"), "build", "--clean", "--strict"]
    if failed := subprocess.run(zensical, cwd=ROOT, check=False).returncode:
        sys.exit(failed)
    write_llms_txt()


def copy_pages() -> None:
    """Put README and docs into one folder, as Zensical needs them, with links that fit it."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("__pycache__", "scripts"))
    for page in PAGES.glob("*.md"):
        text = page.read_text()
        for source, name in AT_THE_TOP.items():
            text = text.replace(f"](../{source}", f"]({name}")
        page.write_text(text)
    for source, name in AT_THE_TOP.items():
        text = re.sub(r'(\]\(|")docs/', r"\1", (ROOT / source).read_text())
        (PAGES / name).write_text(text.replace("](README.md", "](index.md"))


def write_llms_txt() -> None:
    """List all pages for language models, and put the Markdown of each beside its HTML."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    index, texts = f"# {project['site_name']}\n\n> {project['site_description']}\n", ""
    for group in project["nav"]:
        index += f"\n## {next(iter(group))}\n\n"
        for title, name in pages_in([group]):
            index += f"- [{title}]({name})\n"
            texts += (PAGES / name).read_text() + "\n"
            shutil.copy(PAGES / name, SITE / name)
    (SITE / "llms.txt").write_text(index)
    (SITE / "llms-full.txt").write_text(texts)


def pages_in(navigation: list[dict[str, str | list[dict[str, str]]]]) -> Iterator[tuple[str, str]]:
    """Titles and names, those of nested groups too."""
    for entry in navigation:
        for title, target in entry.items():
            if isinstance(target, str):
                yield title, target
            else:
                yield from pages_in(target)


if __name__ == "__main__":
    main()
