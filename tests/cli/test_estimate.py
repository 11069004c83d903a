"""The estimated calls and time of a run."""

from __future__ import annotations

from typing import Any

import pytest

from leadsquared_async import QueueMetrics, RateLimit
from leadsquared_async.cli.estimate import estimate

LIMIT = RateLimit(25, per=5.0)  # one call in 0.204 s


@pytest.mark.parametrize(
    ("options", "calls", "submit", "confirm"),
    [
        ({"to_send": 1000, "to_confirm": 1000}, 2350, 204.0, 275.4),
        ({"to_send": 1000, "to_confirm": 0}, 1000, 204.0, 0.0),
        ({"to_send": 0, "to_confirm": 100}, 135, 0.0, 27.54),
        ({"to_send": 0, "to_confirm": 0}, 0, 0.0, 0.0),
    ],
)
def test_calls_and_times_follow_from_the_limit(
    options: dict[str, Any], calls: int, submit: float, confirm: float
) -> None:
    """A lead is one call and 1.35 status calls, one a spacing."""
    plan = estimate(**options, limit=LIMIT)
    assert plan.calls == calls
    assert plan.submit == pytest.approx(submit)
    assert plan.confirm == pytest.approx(confirm)
    assert plan.total == pytest.approx(submit + confirm)


def test_one_call_is_singular() -> None:
    """Calls are counted in words, in bulk as well."""
    text = " ".join(estimate(to_send=1, to_confirm=0, limit=LIMIT, bulk_limit=LIMIT).lines())
    assert "1 call at 25/5 s: 1 to submit" in text
    assert "with --bulk: 1 call at 25/5 s" in text


@pytest.mark.parametrize(
    ("metrics", "process", "said"),
    [
        (None, None, "how long LeadSquared will take to process them is unknown"),
        (QueueMetrics(500, 9.0, 0.0), None, "500 in its queue and processed none lately"),
        (QueueMetrics(500, 9.0, 60.0), 1500.0, "at that pace it takes 25 min"),
        (QueueMetrics(0, 0.0, 60.0), None, "queue is empty"),
    ],
)
def test_the_processing_time_follows_from_the_metrics(
    metrics: QueueMetrics | None, process: float | None, said: str
) -> None:
    """LeadSquared's recent rate gives a time only if its queue is not empty."""
    plan = estimate(to_send=1000, to_confirm=1000, limit=LIMIT, metrics=metrics)
    assert plan.process == process
    assert said in " ".join(plan.lines())
    assert plan.data()["total"] == pytest.approx(process or 479.4)
    assert plan.lines()[-1].startswith("about 25 min" if process else "about 8 min")  # one total, not two
