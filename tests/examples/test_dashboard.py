"""docs/examples/monitoring/dashboard.json, as far as it can be checked without Grafana."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async.telemetry.metrics import METRICS
from tests.prometheus import dashboard, expressions_of, panels, program, series_of

UNITS = {"none", "short", "s", "reqps"}
TYPES = {"timeseries", "stat", "state-timeline", "table"}
WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
by_title = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])


def test_it_is_a_dashboard_that_grafana_can_import() -> None:
    """It has a title, a schema version, and variables for the data source and the client."""
    found = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(found)
    assert [(it["name"], it["type"]) for it in found["templating"]["list"]] == [
        ("datasource", "datasource"),
        ("client", "query"),
    ]
    assert "__inputs" not in found  # of an export, which asks for each data source


def test_panels_have_their_own_ids_and_places() -> None:
    """No two panels share an id or a place, and none is wider than the page."""
    all_panels = dashboard()["panels"]
    ids = [panel["id"] for panel in all_panels]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in all_panels]
    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@by_title
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """It has a known type, a title, a description and a unit, and asks the chosen data source."""
    assert panel["type"] in TYPES
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == SOURCE
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs)
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert 'leadsquared_client=~"$client"' in target["expr"]


def test_it_shows_every_metric_and_no_other() -> None:
    """A renamed metric would leave a panel empty."""
    shown = " ".join(expression for panel in panels() for expression in expressions_of(panel))
    series = {re.sub("_count$", "_bucket", series_of(metric)) for metric in METRICS}
    assert set(re.findall(r"leadsquared_\w+(?=\{)", shown)) == series


def test_it_uses_attributes_that_exist() -> None:
    """A renamed attribute would leave a panel empty."""
    shown = " ".join(expression for panel in panels() for expression in expressions_of(panel))
    labels = {name.replace(".", "_") for metric in METRICS for name in metric.attributes} | {"le"}
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", shown) for label in group.split(", ")}
    assert grouped | set(re.findall(r"(\w+)[!=]~?\"", shown)) <= labels


def test_its_expressions_parse(tmp_path: Path) -> None:
    """Prometheus's tool reads each of them."""
    rules = [
        {"record": f"panel{panel['id']}:{number}", "expr": expression}
        for panel in panels()
        for number, expression in enumerate(expressions_of(panel))
    ]
    file = tmp_path / "rules.yaml"  # of which JSON is a part
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(
        [program("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
