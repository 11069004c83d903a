"""If any step on the way to the store fails, no caller waits forever and all tokens come back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from leadsquared_async.limiter.event_loops import LoopTimer
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.limiter.redis_messages import StoreReply, StoreRequest
from tests import virtual
from tests.limiter.world import DEFAULT, Connection, Server, joined, leave


class Breaks(Exception):
    """An unexpected error."""


class Fuse:
    """Raises at the step with that number, once."""

    def __init__(self, step: int, error: type[BaseException]) -> None:
        self.left = step
        self.error = error

    def burn(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise self.error


class FaultyLoop(virtual.VirtualLoop):
    """May fail to set a timer of a bucket, or to start one of its tasks."""

    fuse = Fuse(-1, Breaks)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if isinstance(getattr(callback, "__self__", None), LoopTimer | TokenQueue | RedisGrantor):
            self.fuse.burn()
        return super().call_at(when, callback, *args, context=context)

    def create_task(self, *args: Any, **options: Any) -> asyncio.Task[Any]:
        if (options.get("name") or "").startswith("leadsquared_async"):
            self.fuse.burn()
        return super().create_task(*args, **options)


class FaultyStore(Connection):
    """A connection that may fail before and after the store has heard a request."""

    fuse = Fuse(-1, Breaks)

    async def exchange(self, key: str, request: StoreRequest) -> StoreReply:
        self.fuse.burn()
        reply = await super().exchange(key, request)
        self.fuse.burn()
        return reply


async def call(bucket: TokenQueue, lane: Lane, deadline: float | None = None) -> None:
    await bucket.acquire(lane, deadline)
    await asyncio.sleep(0.05)
    bucket.release()


@pytest.mark.parametrize("where", ["loop", "store", "request", "answer"])
@pytest.mark.parametrize("error", [Breaks, MemoryError, asyncio.CancelledError])
def test_a_fault_at_any_step_leaves_no_waiter_and_no_token_behind(
    where: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later calls succeed after a failure of the loop, the store, the request or the reply."""

    async def main(step: int) -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        server, fuse = Server(), Fuse(step, error)
        store = FaultyStore(server, "process")
        grantor = RedisGrantor(DEFAULT, store=store, key="account")
        bucket = joined(grantor)
        with monkeypatch.context() as patch:
            if where == "loop":
                patch.setattr(FaultyLoop, "fuse", fuse)
            elif where == "store":
                store.fuse = fuse
            else:
                name = "_request" if where == "request" else "_tell_limit"
                original = getattr(grantor, name)

                def fails(*args: Any, **options: Any) -> Any:
                    fuse.burn()
                    return original(*args, **options)

                patch.setattr(grantor, name, fails)
            calls = [
                asyncio.create_task(call(bucket, lane, None if number % 2 else loop.time() + 90))
                for number, lane in enumerate([*Lane] * 4)
            ]
            await asyncio.sleep(100)
        await asyncio.gather(*(call(bucket, Lane.INTERACTIVE) for _ in range(3)))
        assert all(task.done() for task in calls)
        failed = [task for task in calls if task.cancelled() or task.exception() is not None]
        assert len(failed) <= 1, failed
        assert not bucket._lanes
        assert not grantor._out
        await asyncio.sleep(40)
        await asyncio.gather(*(call(bucket, Lane.INTERACTIVE) for _ in range(25)))
        await asyncio.sleep(40)
        await leave(bucket)
        state = server.state()
        assert (state["out"], state["held"]) == (0, 25)
        return fuse.left

    for step in itertools.count():
        with asyncio.Runner(loop_factory=FaultyLoop) as runner:
            if runner.run(main(step)) >= 0:
                break
    assert step > 5
