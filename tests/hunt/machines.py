"""Runs Hypothesis' state machines for as long as they are told."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

AT_ONCE = 20
"""Examples between two looks at the clock."""


def play(
    machine: type[RuleBasedStateMachine], seconds: float, *, steps: int = 30, at_once: int = AT_ONCE
) -> int:
    """Play a machine for so long, at least once; returns the number of examples. A failure is raised, with
    the smallest steps that show it."""
    chosen = settings(
        max_examples=at_once,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate, Phase.shrink],
    )
    end = time.monotonic() + seconds
    played = 0
    while not played or time.monotonic() < end:
        run_state_machine_as_test(machine, settings=chosen)
        played += at_once
    return played
