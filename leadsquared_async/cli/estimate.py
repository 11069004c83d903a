"""Estimate a run: its calls, and the seconds of each stage. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from leadsquared_async.cli.durations import spoken
from leadsquared_async.cli.files.rows import counted
from leadsquared_async.config import RateLimit
from leadsquared_async.models import QueueMetrics
from leadsquared_async.operations import BULK_MOST

__all__ = ["STATUS_CALLS", "BulkEstimate", "Estimate", "bulk_estimate", "estimate"]

STATUS_CALLS = 1.35
"""A lead, until its outcome is known."""


@dataclass(frozen=True, slots=True)
class BulkEstimate:
    """The estimate of a run in bulk calls of 25 leads; a bulk call returns the outcomes."""

    submissions: int
    calls: int
    rate: str
    total: float

    def line(self) -> str:
        return f"{counted(self.calls, 'call')} at {self.rate} s, {spoken(self.total)}"

    def lines(self) -> list[str]:
        return [f"in bulk: {self.line()} in all; each lead's outcome comes with its call"]

    def data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a run with one call for each lead; durations in seconds."""

    submissions: int
    status_calls: int
    rate: str
    submit: float
    confirm: float  # starts while leads are sent and continues after them
    queue: int | None  # None if LeadSquared did not say
    pace: float | None  # requests a minute that it processed recently
    process: float | None  # None if its queue is empty: the pace is then limited by what it received
    bulk: BulkEstimate | None = None

    @property
    def calls(self) -> int:
        return self.submissions + self.status_calls

    @property
    def total(self) -> float:
        """Seconds of the whole run: of its calls, or of LeadSquared's queue if that takes longer."""
        process = self.process if self.process is not None and self.status_calls else 0.0
        return max(self.submit + self.confirm, process)

    def lines(self) -> list[str]:
        calls, submit = counted(self.calls, "call"), spoken(self.submit)
        said = [f"{calls} at {self.rate} s: {self.submissions:,} to submit, {submit}"]
        if self.status_calls:
            said[0] += f"; {self.status_calls:,} to confirm, {spoken(self.confirm)} more"
        if self.process is not None:
            said.append(
                f"LeadSquared has {self.queue:,} in its queue and processed {self.pace:.0f} a minute lately; "
                f"at that pace it takes {spoken(self.process)} to process all"
            )
        elif self.queue == 0:
            said.append("LeadSquared's queue is empty: it keeps up, and its fastest rate is unknown")
        elif self.queue is not None:
            said.append(
                f"LeadSquared has {self.queue:,} in its queue and processed none lately: how long it will "
                "take to process them is unknown"
            )
        else:
            said.append("how long LeadSquared will take to process them is unknown")
        said.append(f"about {spoken(self.total)} in all, if LeadSquared keeps up")
        if self.bulk is not None and self.submissions:
            said.append(f"with --bulk: {self.bulk.line()}; no activity is posted then")
        return said

    def data(self) -> dict[str, Any]:
        return {**asdict(self), "calls": self.calls, "total": self.total}


def bulk_estimate(to_send: int, limit: RateLimit) -> BulkEstimate:
    calls = -(-to_send // BULK_MOST)
    return BulkEstimate(to_send, calls, str(limit), calls * limit.spacing)


def estimate(
    *,
    to_send: int,
    to_confirm: int,
    limit: RateLimit,
    metrics: QueueMetrics | None = None,
    bulk_limit: RateLimit | None = None,
) -> Estimate:
    """Estimate a run; `bulk_limit` is the limit of bulk calls, None if bulk is not possible."""
    polls = round(to_confirm * STATUS_CALLS)
    rate = metrics.rate_per_minute / 60 if metrics is not None and metrics.pending else 0.0
    return Estimate(
        submissions=to_send,
        status_calls=polls,
        rate=str(limit),
        submit=to_send * limit.spacing,
        confirm=polls * limit.spacing,
        queue=None if metrics is None else metrics.pending,
        pace=None if metrics is None else metrics.rate_per_minute,
        process=(metrics.pending + to_send) / rate if metrics is not None and rate > 0 else None,
        bulk=None if bulk_limit is None else bulk_estimate(to_send, bulk_limit),
    )
