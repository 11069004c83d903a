"""Everybody who waits for an outcome, and the one task that asks for them all."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import (
    ClientClosed,
    Delivery,
    Fault,
    LeadSquaredError,
    NoSuchPath,
    NotFound,
    Rejected,
    Scope,
    StillProcessing,
)
from leadsquared_async.http.redaction import sealed
from leadsquared_async.http.session import Sender
from leadsquared_async.models import RequestState, RequestStatus
from leadsquared_async.operations import Certainty, Operation, Path
from leadsquared_async.tracking.look import look, request_id_of
from leadsquared_async.tracking.order import Line

__all__ = ["GRACE", "Follower", "Tracker", "Trackers"]

GRACE = 60.0
"""Seconds for which an id that LeadSquared does not know is taken for one that it does not know yet."""
RETRIED_FOR = 32_970.0
"""Seconds that LeadSquared's ten retries take in all, after which an ERROR that stays is final."""
MARGIN = 600.0
"""Seconds that they may take longer, since each waits its turn, or begin before the request is followed."""


class _UnwantedError(Exception):
    """Nobody waits for it any more."""


@dataclass(slots=True)
class Follower:
    """Somebody who waits for the outcome of a request.

    Attributes:
        request_id: whose.
        outcome: the final status, or the error that ended the wait.
        patience: seconds for which an unknown id is taken for one that is not known yet.
        last: what the last successful look showed.
        trouble: what the last look ran into, if it was not successful.
    """

    request_id: str
    outcome: asyncio.Future[RequestStatus] = field(repr=False)
    patience: float = GRACE
    last: RequestStatus | None = None
    trouble: LeadSquaredError | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Followed:
    """A request, and all who wait for it."""

    since: float
    patience: float
    followers: list[Follower] = field(default_factory=list[Follower])
    failing_since: float | None = None


class Tracker:
    """Follows the requests of one operation with as few calls as the order of LeadSquared's queue allows.

    Args:
        sender: makes the calls; each once, since the next sweep asks again.
        operation: whose requests.

    Attributes:
        answers: how often a request was known.
    """

    def __init__(self, sender: Sender, operation: Operation) -> None:
        settings = replace(sender.settings, deadline=None, retry=RetryPolicy(attempts=1))
        self._sender = Sender(sender.session, settings)
        self._operation = operation
        self._line = Line()
        self._joined = asyncio.Event()
        self._followed: dict[str, _Followed] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.answers = 0

    @property
    def path(self) -> Path:
        """Where it asks."""
        given = self._sender.session.options.paths.get(f"{self._operation.name} status")
        return self._operation.status if given is None else Path(given, Certainty.GIVEN)

    def follow(self, request_id: str, *, patience: float = GRACE) -> Follower:
        """Begin to follow; whoever stops waiting says so with `leave`.

        Args:
            request_id: from a receipt.
            patience: seconds for which an unknown id is taken for one that is not known yet.
        """
        loop = asyncio.get_running_loop()
        follower = Follower(request_id_of(request_id), loop.create_future(), patience)
        followed = self._followed.get(follower.request_id)
        if followed is None:
            followed = self._followed[follower.request_id] = _Followed(loop.time(), patience)
            self._line.join(follower.request_id)
            self._joined.set()
        followed.patience = max(followed.patience, patience)
        followed.followers.append(follower)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._sweep_until_all_is_known(), name=f"leadsquared_async {self._operation.name} tracker"
            )
            self._task.add_done_callback(self._ended)
        return follower

    def leave(self, follower: Follower) -> None:
        """Wait no more; twice is no harm."""
        followed = self._followed.get(follower.request_id)
        if followed is None or follower not in followed.followers:
            return
        followed.followers.remove(follower)
        if not followed.followers:
            del self._followed[follower.request_id]
            self._line.leave(follower.request_id)
        if not self._followed and self._task is not None:
            # Whoever follows next begins another: this one needs a moment to end.
            self._task.cancel()
            self._ending.add(self._task)
            self._task = None

    @sealed
    async def wait(self, request_id: str, deadline: float | None) -> RequestStatus:
        """Follow a request until its status is final.

        Raises:
            StillProcessing: it is not final within `deadline` seconds; nothing is lost, wait again.
            LeadSquaredError: the account's fault, or an id that stays unknown.
        """
        start = asyncio.get_running_loop().time()
        follower = self.follow(request_id)
        try:
            await asyncio.wait([follower.outcome], timeout=deadline)
            if follower.outcome.done():
                return follower.outcome.result()
        finally:
            follower.outcome.cancel()
            self.leave(follower)
        raise self._still_processing(follower, asyncio.get_running_loop().time() - start)

    def stop(self) -> set[asyncio.Task[None]]:
        """Stop asking; every wait ends with `ClientClosed`. Returns the tasks that have to end."""
        tasks = {task for task in (self._task, *self._ending) if task is not None}
        for task in tasks:
            task.cancel()
        return tasks

    def _still_processing(self, follower: Follower, waited: float) -> StillProcessing:
        if follower.last is not None:
            seen = "it was accepted and stays in LeadSquared's queue"
        elif isinstance(follower.trouble, NotFound):
            seen = "it was not found so far"
        else:
            seen = "what became of it is not known so far"
        error = StillProcessing(
            f"{self._operation.name}: after {waited:.3g} s request {follower.request_id} is not finished; "
            f"{seen}: wait again later",
            delivery=_delivery(follower),
            request_id=follower.request_id,
            last_status=follower.last,
            waited=waited,
            operation=self._operation.name,
        )
        error.__cause__ = follower.trouble
        return error

    async def _sweep_until_all_is_known(self) -> None:
        """Sweep, pause, and again; an error that no further sweep can mend ends every wait."""
        try:
            while self._line:
                await self._pause()
                await self._sweep()
        except LeadSquaredError as error:
            self._fail_all(error)

    async def _pause(self) -> None:
        """Sleep until the next sweep, which one that joins may bring nearer."""
        until = self._now() + self._line.pace.pause
        with self._sender.session.pipeline().while_open():
            while (left := until - self._now()) > 0:
                self._joined.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._joined.wait()
                    until = min(until, self._now() + self._line.pace.pause)

    async def _sweep(self) -> None:
        sweep = self._line.sweep(self._now())
        asked = next(sweep, ())
        while asked:
            asking = (self._is_finished(name) for name in asked)
            answers = await asyncio.gather(*asking, return_exceptions=True)
            if (failure := next((it for it in answers if isinstance(it, BaseException)), None)) is not None:
                for name, answer in zip(asked, answers, strict=True):
                    if answer is True:
                        self._line.leave(name)  # nobody waits for it, and it would be asked for for ever
                raise failure
            heard = [answer for answer in answers if not isinstance(answer, BaseException)]
            try:
                asked, before = sweep.send(heard), asked
            except StopIteration:
                self._rejoin(asked)
                return
            self._rejoin(before)

    def _rejoin(self, asked: Iterable[str]) -> None:
        """Keep in line whoever was told, and waits for the same again before the line heard of it."""
        for request_id in asked:
            if request_id in self._followed and request_id not in self._line:
                self._line.join(request_id)

    async def _is_finished(self, request_id: str) -> bool | None:
        """Ask, and tell those who wait; None if there was no answer to be had."""

        async def still_wanted() -> None:
            if request_id not in self._followed:
                raise _UnwantedError

        status, trouble = None, None
        try:
            status = await look(self._sender, self._operation, request_id, still_wanted)
        except _UnwantedError:
            return False
        except LeadSquaredError as error:
            trouble = error
        followed = self._followed.get(request_id)
        if followed is None:
            return False  # everybody left meanwhile
        if status is not None:
            return self._heard(request_id, followed, status)
        assert trouble is not None
        return self._troubled(request_id, followed, trouble)

    def _troubled(self, request_id: str, followed: _Followed, error: LeadSquaredError) -> bool | None:
        # How an id that is not known yet is answered is not documented: it may be a refusal.
        is_unknown = isinstance(error, NotFound | Rejected) and not isinstance(error, NoSuchPath)
        if not is_unknown and (error.fault is Fault.ACCOUNT or error.scope is Scope.ACCOUNT):
            raise error
        for follower in followed.followers:
            follower.trouble = error
        if is_unknown and self._now() - followed.since <= followed.patience:
            return False
        if is_unknown or (error.scope is Scope.LEAD and error.fault is Fault.LEAD):
            self._resolve(request_id, error)
            return True
        return None

    def _heard(self, request_id: str, followed: _Followed, status: RequestStatus) -> bool:
        self.answers += 1
        if status.state is RequestState.FAILED and not status.is_final:
            if followed.failing_since is None:
                followed.failing_since = self._now()
            failing, before = self._now() - followed.failing_since, followed.failing_since - followed.since
            # Whether it is called ERROR already between two tries is not documented.
            if failing >= RETRIED_FOR + MARGIN or before >= RETRIED_FOR - MARGIN:
                status = replace(status, is_final=True)
        for follower in followed.followers:
            follower.last, follower.trouble = status, None
        if status.is_final:
            self._resolve(request_id, status)
        return status.is_final

    def _resolve(self, request_id: str, outcome: RequestStatus | LeadSquaredError) -> None:
        followed = self._followed.pop(request_id, None)
        for follower in [] if followed is None else followed.followers:
            if follower.outcome.done():
                continue
            if isinstance(outcome, RequestStatus):
                follower.outcome.set_result(outcome)
            else:
                # A copy each: an error that many raise would gather the tracebacks of all of them.
                error = copy.copy(outcome)
                error.delivery = _delivery(follower)
                if isinstance(error, NotFound) and not isinstance(error, NoSuchPath):
                    error.fault, error.scope = (
                        None,
                        Scope.LEAD,
                    )  # this id is unknown, which says nothing of others
                follower.outcome.set_exception(error)
                follower.outcome.exception()  # one that leaves in this very tick does not look at it

    def _fail_all(self, error: LeadSquaredError) -> None:
        for request_id in list(self._followed):
            self._line.leave(request_id)
            self._resolve(request_id, error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if self._task is not task:
            return  # nobody waits for it any more
        self._task = None
        if task.cancelled():
            self._fail_all(ClientClosed(f"{self._operation.name}: the client was closed before it was done"))
        elif (error := task.exception()) is not None:
            # A fault in our own code; whoever waits is told, and the loop's handler shows it.
            self._fail_all(LeadSquaredError(f"{self._operation.name}: the tracker failed"))
            raise error

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _delivery(follower: Follower) -> Delivery:
    """Whether LeadSquared has the request, as far as was seen."""
    return Delivery.UNKNOWN if follower.last is None else Delivery.ACCEPTED


class Trackers:
    """The trackers of one client, one an operation.

    Args:
        sender: makes their calls.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._trackers: dict[str, Tracker] = {}

    def of(self, operation: Operation) -> Tracker:
        """The operation's tracker."""
        tracker = self._trackers.get(operation.name)
        if tracker is None:
            tracker = self._trackers[operation.name] = Tracker(self._sender, operation)
        return tracker

    def stop(self) -> set[asyncio.Task[None]]:
        """Stop asking; every wait ends with `ClientClosed`. Returns the tasks that have to end."""
        return {task for tracker in self._trackers.values() for task in tracker.stop()}
