"""A real Prometheus scrapes a program: every metric arrives, the dashboard has data, and an alert fires."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from leadsquared_async.telemetry.metrics import METRICS
from tests.examples.programs import free_port
from tests.prometheus import Prometheus, expressions_of, panels, series_of

pytestmark = pytest.mark.slow

WITHIN = 90.0
PHASE = "3"
"""Seconds of each kind of traffic."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus beside a program with traffic of every kind."""
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    command = [sys.executable, "-m", "tests.telemetry.monitored", str(port), str(folder / "leads.db"), PHASE]
    monitored = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        server = Prometheus(folder, port)
        yield server
        server.stop()
    finally:
        monitored.communicate(timeout=30)


def soon(is_there: Callable[[], bool]) -> bool:
    """Whether it is there within 90 s."""
    until = time.monotonic() + WITHIN
    while not is_there():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True


def test_prometheus_has_every_metric(prometheus: Prometheus) -> None:
    """Under the name that dashboard and alerts use, with the client's name."""
    for metric in METRICS:
        expression = f'{series_of(metric)}{{leadsquared_client="acme"}}'
        assert soon(lambda it=expression: bool(prometheus.query(it))), expression  # type: ignore[misc]


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    """Each expression of the dashboard returns a series within the traffic's first round."""
    for expression in (expression for panel in panels() for expression in expressions_of(panel)):
        assert soon(lambda it=expression: bool(prometheus.query(it))), expression  # type: ignore[misc]


def test_a_dead_letter_fires_its_alert(prometheus: Prometheus) -> None:
    """The alert names the file and the state; one that needs ten minutes does not fire yet."""
    assert soon(lambda: "LeadSquaredDeadLetters" in prometheus.firing())
    alerts = prometheus.firing()
    summary = alerts["LeadSquaredDeadLetters"]["annotations"]["summary"]
    assert " leads in leads.db on 127.0.0.1:" in summary
    assert "<no value>" not in str(alerts)
    assert not {"LeadSquaredHeld", "LeadSquaredOldItem", "LeadSquaredNotScraped"} & set(alerts)


def test_no_label_has_a_value_of_a_lead(prometheus: Prometheus) -> None:
    """Nothing that Prometheus stores has a phone number, a reference or a name."""
    stored = str(prometheus.query('{__name__=~"leadsquared_.*"}'))
    assert "acme" in stored
    for value in ("9988", "form-", "Bret"):
        assert value not in stored
