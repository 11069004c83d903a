"""OpenTelemetry metrics and spans, for programs that have set it up. Other programs do not import it."""

from __future__ import annotations

import sys
from typing import Literal

__all__ = ["is_set_up", "operation_kind"]


def is_set_up(signal: Literal["metrics", "trace"]) -> bool:
    """Whether the program has set a global provider; the API's own default providers record nothing."""
    api = sys.modules.get(f"opentelemetry.{signal}")
    provider_of = getattr(api, "get_meter_provider" if signal == "metrics" else "get_tracer_provider", None)
    return provider_of is not None and not type(provider_of()).__module__.startswith(
        "opentelemetry." + signal
    )


def operation_kind(operation: str) -> str:
    """The operation, or "request" for a call of `lsq.request`, whose path may contain an id."""
    return "request" if "/" in operation else operation
