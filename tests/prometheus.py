"""Prometheus and its tool, as Debian packages them; `.ci/run` gets them where they are missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async.telemetry.metrics import Metric
from tests.examples.programs import EXAMPLES, free_port

START_WITHIN = 30.0


def program(name: str) -> str:
    """The path of "prometheus" or "promtool"; without it the test is skipped, but fails in `.ci/run`."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: apt-get install prometheus"
        if os.environ.get("REQUIRE_PROMETHEUS"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class Prometheus:
    """A server on loopback that scrapes one target each second, with the rules of docs/examples.

    Args:
        folder: for its configuration and data.
        target: the port of the target.
    """

    def __init__(self, folder: Path, target: int) -> None:
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(EXAMPLES / "monitoring" / "alerts.yaml")],
            "scrape_configs": [
                {"job_name": "leadsquared", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
            ],
        }
        file = folder / "prometheus.yml"  # of which JSON is a part
        file.write_text(json.dumps(configuration))
        port = free_port()
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        until = time.monotonic() + START_WITHIN
        while not self._is_ready():
            if time.monotonic() > until or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"Prometheus did not start: {self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now, each with its labels and value."""
        return self._get("query", query=expression)["result"]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of an expression over time."""
        return self._get("query_range", query=expression, start=start, end=end, step=step)["result"]

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}

    def _get(self, what: str, **parameters: str | float) -> Any:
        answer = self._client.get(f"/api/v1/{what}", params=parameters).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False


def series_of(metric: Metric) -> str:
    """The name of a metric's series in Prometheus; of a histogram, that of its count."""
    name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
    return name + {"counter": "_total", "histogram": "_count", "gauge": ""}[metric.kind]


def dashboard() -> dict[str, Any]:
    """The dashboard of docs/examples."""
    return json.loads((EXAMPLES / "monitoring" / "dashboard.json").read_text())


def panels() -> list[dict[str, Any]]:
    """Its panels, without the rows' headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions_of(panel: dict[str, Any], interval: str = "15s") -> list[str]:
    """A panel's expressions, as Grafana sends them when every client is shown."""
    return [
        target["expr"].replace("$__rate_interval", interval).replace("$client", ".*")
        for target in panel["targets"]
    ]
