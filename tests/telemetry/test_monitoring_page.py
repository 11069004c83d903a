"""docs/monitoring.md against the code: its tables are complete, its commands exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async import Outbox, Rejected
from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.telemetry.metrics import METRICS
from tests.clients import LEAD, client_of
from tests.examples.programs import EXAMPLES
from tests.prometheus import program, series_of

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()


def rows() -> str:
    """The table of metrics, as it has to be."""
    return "\n".join(
        f"| `{it.name}` | {it.kind}{', s' if it.unit == 's' else ''} "
        f"| `{re.sub('_count$', '', series_of(it))}` | {it.description} "
        f"| {', '.join(f'`{name}`' for name in it.attributes)} |"
        for it in METRICS
    )


def test_the_table_has_every_metric() -> None:
    """With its kind, unit, name in Prometheus, description and attributes."""
    assert rows() in PAGE


def test_every_attribute_is_explained() -> None:
    """Those of metrics, in the table of their values; the status is HTTP's."""
    explained = re.findall(r"^\| `([\w.]+)` \| (?!counter|gauge|histogram)", PAGE, re.MULTILINE)
    wanted = {name for metric in METRICS for name in metric.attributes}
    assert wanted <= set(explained)


async def test_every_attribute_of_a_span_is_explained(sandbox: Sandbox, spans: InMemorySpanExporter) -> None:
    """In the table of spans, and no other is."""
    sandbox.books.faults = Faults(script=("503", "ok", "500-mx"))
    async with client_of(sandbox, name="acme") as lsq:
        await lsq.leads.capture(LEAD, reference="form-1")
        with pytest.raises(Rejected):
            await lsq.leads.capture(LEAD)
    wanted = {name for span in spans.get_finished_spans() for name in span.attributes or {}}
    section = PAGE.partition("## Spans")[2].partition("\n\n- ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)} == wanted


def test_the_configuration_of_prometheus_is_valid(tmp_path: Path) -> None:
    """With the alerts beside it, as the page shows it."""
    (configuration,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(configuration)
    shutil.copy(EXAMPLES / "monitoring" / "alerts.yaml", tmp_path)
    command = [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def printed(command: list[str], folder: Path) -> str:
    """What a command of ours prints."""
    ours = [sys.executable, "-m", "leadsquared_async", *command[1:]]
    return subprocess.run(ours, capture_output=True, text=True, check=False, cwd=folder).stdout


async def test_its_commands_find_a_dead_letter_and_send_it_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """What an operator types when the alerts fire."""
    sandbox.books.faults = Faults(script=("500-mx",))
    async with client_of(sandbox) as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
        await outbox.put({"EmailAddress": "bret.lee@example.com", "mx_Foo": "x"})
        await outbox.drained()
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    items, export, requeue, doctor = [
        shlex.split(line, comments=True) for block in blocks for line in block.splitlines()
    ]
    requeue[requeue.index("MXUnknownAttribute")] = "MXDuplicate"  # what the sandbox answers here
    listed, _, requeued, examined = [printed(it, tmp_path) for it in (items, export, requeue, doctor)]
    assert "MXDuplicateEntryException" in listed
    assert "bret.lee@example.com" in (tmp_path / "rejected.jsonl").read_text()
    assert requeued.startswith("1 row will be sent again")
    assert "leads.db: pending 1" in examined


if __name__ == "__main__":
    print(rows())
