"""Another worker takes over the tasks of one that was killed or stops."""

from __future__ import annotations

import pytest

from leadsquared_async import submissions
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD
from tests.integrations.workers import Workers, until
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

LEAD_ID = "00000000-0000-4000-8000-000000000000"
SILENT = Faults(script=("hang+taken",))
"""The first submission arrives, and no answer comes."""


async def test_a_capture_under_way_at_a_kill_is_sent_again(valkey: Valkey) -> None:
    """LeadSquared matches it, so there is one lead."""
    async with Sandbox(faults=SILENT) as sandbox:
        workers = Workers(valkey, "again", sandbox)
        await workers.put(submissions.capture_lead(LEAD, reference="form-1"))
        async with workers.process() as victim:
            await until(lambda: workers.arrived == 1, within=30)
            victim.kill()
        async with workers.process():
            await until(lambda: workers.ends == {"form-1 confirmed"}, within=30)
        assert workers.arrived == 2
        assert len(sandbox.books.leads) == 1


async def test_an_activity_under_way_at_a_kill_is_unknown_and_one_that_waited_is_sent(
    valkey: Valkey,
) -> None:
    """The first may have arrived and must not be sent twice."""
    async with Sandbox(faults=SILENT) as sandbox:
        workers = Workers(valkey, "unknown", sandbox)
        visits = ("visit-1", "visit-2")
        await workers.put(*(submissions.create_activity(LEAD_ID, event=1, reference=it) for it in visits))
        async with workers.process(LEADSQUARED_RATE_LIMIT="1/600") as victim:
            await until(lambda: workers.arrived == 1, within=30)
            victim.kill()
        async with workers.process():
            await until(lambda: len(workers.ends) == 2, within=30)
        assert workers.ends == {"visit-1 unknown", "visit-2 rejected"}  # there is no such lead
        assert workers.arrived == 2


async def test_a_worker_that_stops_finishes_calls_under_way_and_releases_the_rest(valkey: Valkey) -> None:
    """Another worker gets the rest without waiting for the lease."""
    async with Sandbox(faults=Faults(latency=1.0)) as sandbox:
        workers = Workers(valkey, "stops", sandbox)
        people = ({"EmailAddress": f"p{number}@example.com"} for number in range(6))
        await workers.put(*(submissions.capture_lead(it, reference=it["EmailAddress"]) for it in people))
        async with workers.process(lease=600, LEADSQUARED_RATE_LIMIT="1/600") as first:
            await until(lambda: workers.arrived == 1, within=30)
            assert await first.stopped() == 0
        assert len(sandbox.books.leads) == 1
        sandbox.books.faults = Faults()
        async with workers.process(lease=600):
            await until(lambda: len(workers.ends) == 6, within=30)
        assert workers.arrived == 6
