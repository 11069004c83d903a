"""The gauge of held tasks, in a worker that has set up OpenTelemetry."""

from __future__ import annotations

from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import capture_lead
from tests.clients import LEAD
from tests.collected import Collected
from tests.integrations.in_memory import World, play
from tests.integrations.workers import until


def test_tasks_on_hold_show_while_they_are(collected: Collected) -> None:
    """By operation: 1 while an operation is held, 0 once it is delivered again."""

    async def act(world: World) -> None:
        await world.tasks.submit(capture_lead(LEAD))
        await until(lambda: collected.points("leadsquared.held") == {("acme", "leads.capture"): 1}, within=60)
        world.books.faults = Faults()
        await world.reported(1)
        assert collected.points("leadsquared.held") == {("acme", "leads.capture"): 0}

    play(act, {"confirm": False}, {"name": "acme"}, faults=Faults(probabilities={"403": 1.0}))
    assert collected.points("leadsquared.held") == {}
