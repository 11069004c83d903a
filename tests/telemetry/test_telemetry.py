"""Whether a program has set up OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from leadsquared_async.telemetry import is_set_up
print(is_set_up("trace"), is_set_up("metrics"), "opentelemetry" in sys.modules)
from opentelemetry import metrics, trace
print(is_set_up("trace"), is_set_up("metrics"))
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
metrics.set_meter_provider(MeterProvider())
print(is_set_up("trace"), is_set_up("metrics"))
trace.set_tracer_provider(TracerProvider())
print(is_set_up("trace"), is_set_up("metrics"))
"""


def test_a_provider_of_the_program_sets_it_up() -> None:
    """Importing OpenTelemetry's API, as libraries do, turns nothing on; a global provider does."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["False False False", "False False", "False True", "True True"]
