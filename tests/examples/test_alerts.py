"""docs/examples/monitoring/alerts.yaml: when each alert fires, and when not, by Prometheus's own tool."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from leadsquared_async.delivery.item_retries import ItemState
from tests.examples.programs import EXAMPLES
from tests.prometheus import program

RULES = EXAMPLES / "monitoring" / "alerts.yaml"
PAGE = (EXAMPLES.parent / "monitoring.md").read_text() if (EXAMPLES.parent / "monitoring.md").exists() else ""
ALERTS = re.findall(r"alert: (\w+)", RULES.read_text())

ITEMS = 'leadsquared_outbox_items{leadsquared_outbox="leads.db",leadsquared_state="%s"}'
AGE = 'leadsquared_outbox_oldest_age_seconds{leadsquared_outbox="leads.db",leadsquared_state="pending"}'
HELD = 'leadsquared_held{leadsquared_outbox="leads.db",leadsquared_scope="all"}'
LETTERS = (
    'leadsquared_dead_letters_total{leadsquared_owner="%s",leadsquared_operation="leads.capture",'
    'leadsquared_state="rejected",leadsquared_kind="MXDuplicateEntryException"}'
)
THROTTLED = 'leadsquared_throttled_total{leadsquared_client="acme"}'
UP = 'up{job="leadsquared",instance="a:9464"}'

# One value a minute: what is recorded, and whether the alert fires after 30 minutes.
CASES = [
    ("LeadSquaredDeadLetters", {ITEMS % "rejected": "0x20 1x10"}, True),
    ("LeadSquaredDeadLetters", {ITEMS % "unknown": "2x30"}, True),
    ("LeadSquaredDeadLetters", {ITEMS % "rejected": "1x20 0x10"}, False),
    ("LeadSquaredDeadLetters", {ITEMS % "confirmed": "900x30", ITEMS % "pending": "5x30"}, False),
    ("LeadSquaredDeadLettersWithoutOutbox", {LETTERS % "tasks": "_x28 1x2"}, True),
    ("LeadSquaredDeadLettersWithoutOutbox", {LETTERS % "batch": "1x25 2x5"}, True),
    ("LeadSquaredDeadLettersWithoutOutbox", {LETTERS % "call": "5x28 1x2"}, True),
    ("LeadSquaredDeadLettersWithoutOutbox", {LETTERS % "tasks": "1x30"}, False),
    ("LeadSquaredDeadLettersWithoutOutbox", {LETTERS % "outbox": "_x28 1x2"}, False),
    ("LeadSquaredHeld", {HELD: "0x18 1x12"}, True),
    ("LeadSquaredHeld", {HELD: "0x22 1x8"}, False),
    ("LeadSquaredHeld", {HELD: "1x22 0x2 1x6"}, False),
    ("LeadSquaredOldItem", {AGE: "0+130x30"}, True),
    ("LeadSquaredOldItem", {AGE: "0+110x30"}, False),
    ("LeadSquaredThrottled", {THROTTLED: "0x25 1x5"}, True),
    ("LeadSquaredThrottled", {THROTTLED: "3x30"}, False),
    ("LeadSquaredThrottled", {THROTTLED: "0x10 5x20"}, False),
    ("LeadSquaredNotScraped", {UP: "1x20 0x10", THROTTLED: "0x30"}, True),
    ("LeadSquaredNotScraped", {UP: "1x30"}, True),
    ("LeadSquaredNotScraped", {}, True),
    ("LeadSquaredNotScraped", {UP: "1x30", THROTTLED: "0x30"}, False),
    ("LeadSquaredNotScraped", {UP: "1x27 0x3", THROTTLED: "0x30"}, False),
]


@pytest.mark.parametrize(("alert", "series", "fires"), CASES)
def test_an_alert_fires_when_it_should(
    alert: str, series: dict[str, str], fires: bool, tmp_path: Path
) -> None:
    """Each alert fires for what it is about, and for nothing else."""
    promtool = program("promtool")
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": "30m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }
    file = tmp_path / "test.yaml"  # of which JSON is a part
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    ran = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_case_each_way() -> None:
    """A new alert needs series for which it fires, and series for which it does not."""
    assert {(alert, fires) for alert, _, fires in CASES} == {
        (alert, fires) for alert in ALERTS for fires in (True, False)
    }


def test_the_states_of_the_alerts_exist() -> None:
    """A renamed state would silence them."""
    (states,) = re.findall(r'leadsquared_state=~"([^"]+)"', RULES.read_text())
    assert set(states.split("|")) <= {state.value for state in ItemState}


def test_every_alert_is_explained() -> None:
    """Its runbook is a heading of docs/monitoring.md."""
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}
    runbooks = re.findall(r"runbook: docs/monitoring.md#(\w+)", RULES.read_text())
    assert runbooks == [alert.lower() for alert in ALERTS]
    assert set(runbooks) <= headings
