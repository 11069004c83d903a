"""If any step in the queue fails, no caller waits for ever and no token is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter import queue as module
from leadsquared_async.limiter.event_loops import LoopTimer
from leadsquared_async.limiter.interface import NoTokenInTime
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.tokens import Tokens
from tests.virtual import EPOCH, VirtualLoop

LIMIT = RateLimit(3, per=1.0)


class _InjectedError(Exception):
    """What a step raises."""


class Steps:
    """Counts the steps of a kind, and has one of them fail."""

    def __init__(self, fails: int | None) -> None:
        self.fails = fails
        self.seen = 0

    def take(self) -> None:
        self.seen += 1
        if self.seen - 1 == self.fails:
            raise _InjectedError


class FailingLoop(VirtualLoop):
    """Fails to set a timer of a bucket; whatever else is asked of it works.

    Each begins at the same moment: how floats round would differ from loop to loop, and with it the steps.
    """

    steps = Steps(None)

    def __init__(self) -> None:
        super().__init__()
        self._virtual.now = EPOCH

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if isinstance(getattr(callback, "__self__", None), LoopTimer | TokenQueue):
            self.steps.take()
        return super().call_at(when, callback, *args, context=context)


STEPS: dict[str, tuple[type, str] | None] = {
    "the loop sets a timer": None,
    "the arithmetic is brought up to date": (Tokens, "settle"),
    "a token is taken": (Tokens, "take"),
    "tokens are given to those whose turn it is": (TokenQueue, "_dispatch"),
    "the next in line is looked for": (TokenQueue, "_heads"),
    "a waiter is woken": (module._Waiter, "wake"),
    "the timer is set": (TokenQueue, "_set_timers"),
}


async def play(bucket: TokenQueue) -> list[BaseException]:
    """Forms, batches and polls that end, hang, are cancelled, get a 429 or are late; return their errors."""
    loop = asyncio.get_running_loop()

    async def call(number: int) -> None:
        deadline = loop.time() + 1.5 if number % 5 == 4 else None
        await bucket.acquire(Lane(number % 3), deadline)
        try:
            if number % 4 == 3:
                bucket.on_rate_limited()
            await asyncio.sleep(0.05 * (number % 7))
        finally:
            if number % 6 == 5:
                bucket.release_unused()
            else:
                bucket.release(counted=number % 8 != 7)

    async def change() -> None:
        await asyncio.sleep(0.7)
        bucket.join(RateLimit(2, per=2.0))
        await asyncio.sleep(1.0)
        bucket.leave(RateLimit(2, per=2.0))

    tasks = [asyncio.create_task(call(number)) for number in range(14)]
    tasks.append(asyncio.create_task(change()))
    loop.call_later(0.3, tasks[6].cancel)
    loop.call_later(1.1, tasks[10].cancel)
    for number in range(14, 18):
        await asyncio.sleep(0.4)
        tasks.append(asyncio.create_task(call(number)))
    async with asyncio.timeout(120.0):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


def play_with(where: tuple[type, str] | None, fails: int | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """Play it with one step failing, look at what is left, and return how many steps there were."""
    steps = FailingLoop.steps = Steps(None)
    heard: list[BaseException | None] = []

    async def main() -> int:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: heard.append(context.get("exception"))
        )
        bucket = TokenQueue(LocalGrantor(LIMIT))
        bucket.join(LIMIT)
        steps.fails, steps.seen = fails, 0
        raised = await play(bucket)
        seen, steps.fails = steps.seen, None
        allowed = (_InjectedError, NoTokenInTime, asyncio.CancelledError)
        assert all(isinstance(error, allowed) for error in raised), raised
        failed = [error for error in [*raised, *heard] if isinstance(error, _InjectedError)]
        assert len(failed) == (fails is not None), "a step that fails is reported once"
        await asyncio.sleep(60.0)
        state = bucket.snapshot()
        assert not any(state.waiting.values())
        assert (state.in_flight, state.free, state.limit) == (0, 3, LIMIT)
        start = asyncio.get_running_loop().time()
        for _ in range(4):
            await bucket.acquire(Lane.INTERACTIVE)
            bucket.release()
        assert asyncio.get_running_loop().time() - start < 1.1
        return seen

    with monkeypatch.context() as patch:
        if where is not None:
            kind, name = where
            does = getattr(kind, name)

            def step(*args: Any, **options: Any) -> Any:
                steps.take()
                return does(*args, **options)

            patch.setattr(kind, name, step)
        else:
            FailingLoop.steps = steps
        with asyncio.Runner(loop_factory=FailingLoop) as runner:
            seen = runner.run(main())
    assert all(isinstance(error, _InjectedError) for error in heard), heard
    return seen


@pytest.mark.parametrize("where", STEPS)
def test_a_step_that_fails_leaves_no_waiter_and_loses_no_token(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error is raised, the other callers are served, and all tokens come back."""
    seen = play_with(STEPS[where], None, monkeypatch)
    assert seen >= 10, "the test has stopped reaching these steps"
    for fails in range(seen):
        play_with(STEPS[where], fails, monkeypatch)
