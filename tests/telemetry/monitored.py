"""A program for every metric: `python -m tests.telemetry.monitored PORT FILE SECONDS`.

It serves its metrics on the port and makes traffic with a sandbox: forms, a batch, bulk leads, 429s, dead
letters and a hold, each for some seconds. It ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server

from leadsquared_async import LeadSquared, LeadSquaredError, Outbox, RateLimit, RetryPolicy, submissions
from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.testing import client_of

QUICK = RetryPolicy(attempts=2, base=0.1, cap=0.2)


async def main(port: int, path: Path, seconds: float) -> None:
    """Serve the metrics and make traffic until standard input is closed."""
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    start_http_server(port, addr="127.0.0.1")
    async with Sandbox(limit=None, bulk_limit=None, processing_rate=300.0, unique=("Phone",)) as sandbox:
        options = {"name": "acme", "rate_limit": RateLimit(25, per=5.0), "retry": QUICK}
        async with client_of(sandbox, **options) as lsq, Outbox(path, lsq) as outbox:
            traffic = asyncio.create_task(_traffic(sandbox, lsq, outbox, seconds))
            await asyncio.to_thread(sys.stdin.read)
            traffic.cancel()
            await asyncio.gather(traffic, return_exceptions=True)


async def _traffic(sandbox: Sandbox, lsq: LeadSquared, outbox: Outbox, seconds: float) -> None:
    number = 0
    phases = {
        "forms": Faults(),
        "429s": Faults(probabilities={"429": 0.2}),
        # The first calls are rejected, so that each round has a dead letter before its hold.
        "errors": Faults(
            script=("500-mx",) * 4,
            operations=("capture", "bulk"),
            probabilities={"503": 0.1, "500-mx": 0.1, "lost+taken": 0.05},
        ),
        "hold": Faults(probabilities={"403": 1.0}),
        "back": Faults(),
    }
    while True:
        for phase, faults in phases.items():
            sandbox.books.faults = faults
            until = asyncio.get_running_loop().time() + seconds
            if phase == "forms":
                leads = [{"Phone": f"+91-9988{number + row:06}"} for row in range(int(3 * seconds))]
                number += len(leads)
                async with lsq.leads.capture_many(leads, follow=True) as results:
                    async for _ in results:
                        pass
            while asyncio.get_running_loop().time() < until:
                number += 1
                phone = f"+91-9988{number:06}"
                await outbox.put({"Phone": phone, "FirstName": "Bret"})
                await outbox.put(submissions.bulk_lead({"Phone": phone}))
                if number % 10 == 0:  # it is accepted, and rejected when it is processed
                    await outbox.put({"FirstName": "Bret"}, reference=f"form-{number}")
                with suppress(LeadSquaredError):
                    await lsq.leads.capture({"Phone": phone}, deadline=5.0)
                await asyncio.sleep(0.6)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
