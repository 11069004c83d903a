"""Dead letters of outboxes, and whether a command fails because of them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from leadsquared_async import ItemState
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus

__all__ = ["DEAD", "dead_letters", "states_of", "status_for"]

DEAD = (ItemState.REJECTED, ItemState.UNKNOWN)


def dead_letters(path: Path, counts: Mapping[ItemState, int]) -> str | None:
    """How many there are, and how to list them; None if there are none."""
    found = [state for state in DEAD if counts[state]]
    if not found:
        return None
    said = ", ".join(f"{counts[state]:,} {state}" for state in found)
    listing = f"leadsquared outbox items {shlex.quote(str(path))} --state {found[0]}"
    return f"dead letters: {said}; list them with: {listing}"


def states_of(text: str | None) -> frozenset[ItemState]:
    """The states that `--fail-on` names.

    Raises:
        CommandFailedError: one of them is not a state.
    """
    names = [] if text is None else [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in set(ItemState):
            raise CommandFailedError(
                f"--fail-on: {name!r} is not an item state; choose from {', '.join(ItemState)}, "
                "separated by commas"
            )
    return frozenset(map(ItemState, names))


def status_for(counts: Mapping[ItemState, int], fail_on: Collection[ItemState]) -> ExitStatus:
    """What a command that found these items exits with."""
    return ExitStatus.FAIL_ON if any(counts[state] for state in fail_on) else ExitStatus.DONE
