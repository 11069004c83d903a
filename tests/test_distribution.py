"""What is published: `make dist` builds, installs and uses it; here is what needs no build."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import leadsquared_async

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REPOSITORY = PROJECT["project"]["urls"]["Repository"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)]+)\)")


def readme_on_an_index() -> str:
    """As the build writes it."""
    text = (ROOT / "README.md").read_text()
    for rule in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    return text


def test_links_of_the_readme_are_absolute_on_an_index() -> None:
    """They lead to the repository, pictures to their files; links within the page stay."""
    links = LINK.findall(readme_on_an_index())
    assert len(links) > 20
    for picture, target in links:
        assert target.startswith(("https://", "#")), target
        if target.startswith(REPOSITORY):
            path = target.removeprefix(f"{REPOSITORY}/blob/main/").partition("#")[0]
            assert (ROOT / path).exists(), target
            assert not picture


def test_the_version_has_an_entry_in_the_changelog() -> None:
    """Whoever upgrades finds what changed."""
    assert f"## [{leadsquared_async.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_actions_of_workflows_are_pinned() -> None:
    """By commit, with the version beside it; a tag can be moved to other code."""
    used = [line for file in WORKFLOWS for line in file.read_text().splitlines() if "uses:" in line]
    assert len(used) > 5
    assert [line for line in used if not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def test_workflows_run_targets_that_exist() -> None:
    """Each `make` target of a workflow is one of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = [job for file in WORKFLOWS for job in yaml.safe_load(file.read_text())["jobs"].values()]
    run = {
        command.replace("${{ matrix.target }}", target).split()[1]
        for job in jobs
        for step in job["steps"]
        for target in job.get("strategy", {}).get("matrix", {}).get("target", ["-"])
        if (command := step.get("run", "")).startswith("make ")
    }
    assert len(run) > 5
    assert run <= targets


def test_only_the_publishing_job_may_do_more_than_read() -> None:
    """A workflow reads the repository; publishing needs a token of its own identity, in a protected place."""
    for file in WORKFLOWS:
        workflow = yaml.safe_load(file.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        more = {name: job for name, job in workflow["jobs"].items() if "permissions" in job}
        for name, job in more.items():
            assert (name, job["permissions"]) == ("publish", {"id-token": "write"})
            assert job["environment"] == "release"
