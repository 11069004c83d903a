"""Delivers open outboxes until all rows are final, or until somebody has to act."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum

from leadsquared_async import Fault, ItemState, LeadSquared, Outbox, OutboxItem, OutboxSnapshot
from leadsquared_async.cli.estimate import STATUS_CALLS
from leadsquared_async.cli.exits import ExitStatus, error_text
from leadsquared_async.cli.outboxes import HELD, hold_of
from leadsquared_async.cli.progress import DeliveryState, Progress
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.errors import OutboxError
from leadsquared_async.outbox import delivering, set_note

__all__ = ["Delivered", "Ending", "deliver"]

LOOK_EVERY = 0.2
SHARE_OF_LOOKING = 0.05
"""Of the time: counting a million rows is slow."""
PATIENCE = 60.0
"""Seconds without progress after which an account-level error ends the run, if there was progress before."""


class Ending(Enum):
    DONE = "done"
    STOPPED = "stopped"
    ACCOUNT = "account"
    STUCK = "stuck"


@dataclass(slots=True)
class Delivered:
    """How delivery ended, and why.

    `failed` rows, from any input, ended rejected or unknown; `kinds` counts the reasons of the rejected ones.
    """

    ending: Ending = Ending.DONE
    why: str | None = None
    is_idle: bool = False
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])

    @property
    def status(self) -> ExitStatus:
        if self.ending is Ending.DONE:
            return ExitStatus.NOT_ALL if self.failed else ExitStatus.DONE
        return ExitStatus.ACCOUNT if self.ending is Ending.ACCOUNT else ExitStatus.LEFT


async def deliver(
    outboxes: Sequence[Outbox],
    lsq: LeadSquared,
    stop: Stop,
    terminal: Terminal,
    *,
    confirm: bool,
    gives_up: bool = True,
    attributes: frozenset[str] = frozenset(),
    before: int = 0,
    ended: int = 0,
) -> Delivered:
    """Deliver the rows of outboxes that were opened without a client, and show the progress.

    `gives_up` is whether an account-level error ends it. Reasons may show the schema names `attributes`. For
    `before` and `ended`, see `Progress`.
    """
    delivered = Delivered()

    def count(item: OutboxItem) -> None:
        delivered.failed += item.state in {ItemState.REJECTED, ItemState.UNKNOWN}
        if item.state is ItemState.REJECTED:
            delivered.kinds[kind_of(item.reason, attributes)] += 1

    try:
        async with AsyncExitStack() as stack:
            for outbox in outboxes:
                outbox.on_final(count)
                await stack.enter_async_context(delivering(outbox, lsq, confirm=confirm))
            with Progress(terminal, delivered.kinds, confirm=confirm, before=before, ended=ended) as progress:
                delivered.ending, delivered.why = await _watched(outboxes, stop, progress, gives_up=gives_up)
            if delivered.ending is Ending.STOPPED:
                terminal.say(f"{delivered.why}: waiting for calls in flight; press Ctrl-C again to exit now")
    except (OutboxError, OSError) as error:
        delivered.ending, delivered.why = Ending.STUCK, error_text(error)
    return delivered


async def _watched(
    outboxes: Sequence[Outbox], stop: Stop, progress: Progress, *, gives_up: bool
) -> tuple[Ending, str | None]:
    noted = dict[Outbox, str]()
    counts: tuple[int, ...] | None = None
    moved_at, has_moved = time.monotonic(), False
    while True:
        began = time.monotonic()
        snapshots = [await outbox.snapshot() for outbox in outboxes]
        state = _state_of(snapshots, confirm=progress.confirm)
        progress.update(state)
        for outbox, snapshot in zip(outboxes, snapshots, strict=True):
            if (held := hold_of(snapshot)) != noted.get(outbox):
                noted[outbox] = held
                with suppress(OutboxError, OSError):  # an outbox that cannot be written is held for that
                    await set_note(outbox, HELD, held)
        before, counts = counts, state.counts
        if before not in {None, counts}:
            has_moved, moved_at = True, time.monotonic()
        if state.is_done:
            return Ending.DONE, None
        if (why := stop.why) is not None:
            return Ending.STOPPED, why
        if gives_up and state.held is not None:
            is_over = time.monotonic() - moved_at >= PATIENCE
            if state.fault is Fault.ACCOUNT and (is_over or not has_moved):
                return Ending.ACCOUNT, state.held
            if state.fault is None and is_over:  # the outbox file cannot be used
                return Ending.STUCK, state.held
        await asyncio.sleep(max(LOOK_EVERY, (time.monotonic() - began) / SHARE_OF_LOOKING))


def _state_of(snapshots: Sequence[OutboxSnapshot], *, confirm: bool) -> DeliveryState:
    counts: Counter[ItemState] = Counter()
    for snapshot in snapshots:
        counts.update(snapshot.counts)
    # Account-level errors come first.
    held = min(
        (snapshot for snapshot in snapshots if snapshot.blocked is not None),
        key=lambda snapshot: snapshot.fault is not Fault.ACCOUNT,
        default=None,
    )
    is_done = all(snapshot.oldest is None for snapshot in snapshots)
    accepted = 0 if is_done else counts[ItemState.ACCEPTED]  # rows of a run with --no-confirm stay accepted
    waiting = counts[ItemState.PENDING] + counts[ItemState.SENDING]
    return DeliveryState(
        at=time.monotonic(),
        waiting=waiting,
        unconfirmed=accepted if confirm else 0,
        work=waiting + (STATUS_CALLS * (waiting + accepted) if confirm else 0),
        confirmed=counts[ItemState.CONFIRMED],
        rejected=counts[ItemState.REJECTED],
        unknown=counts[ItemState.UNKNOWN],
        is_done=is_done,
        held=held.blocked if held else None,
        fault=held.fault if held else None,
        next_probe=held.next_probe if held else None,
        delivers=all(snapshot.delivers for snapshot in snapshots),
    )
