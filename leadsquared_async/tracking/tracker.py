"""Follows RequestIDs to their outcome: one task polls for all waiters."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from leadsquared_async.clock import clock
from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    LeadSquaredError,
    NoSuchPath,
    NotFound,
    Rejected,
    Scope,
    StillProcessing,
    exception_in,
)
from leadsquared_async.http.call import Call
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import RequestState, RequestStatus, id_in, read_status
from leadsquared_async.operations import Certainty, Idempotency, Keys, Operation, Path
from leadsquared_async.protocol import ExpectedBody
from leadsquared_async.tracking.order import QueueOrder

if TYPE_CHECKING:
    from leadsquared_async.http.run import BeforeSend

__all__ = ["GRACE", "Follower", "Tracker", "Trackers", "fetch_status", "request_id_of"]

GRACE = 60.0
"""Seconds for which an unknown id counts as not known yet."""
RETRIED_FOR = 32_970.0
"""Seconds that LeadSquared's ten retries take in total; after that, an ERROR is final."""
MARGIN = 600.0
"""Seconds by which the retries may take longer, since each is queued, or start before the follower."""


class _NotFollowedError(Exception):
    """No caller waits for the request any more."""


@dataclass(slots=True, eq=False)
class Follower:
    """One wait for the outcome of a request: its final status, or the error that ended the wait.

    Attributes:
        since: when it began, by `clock.now`.
        patience: seconds for which an unknown id counts as not known yet.
        reference: the caller's own id, for the event.
        last: the last status.
        unknown_since: since when the id has been unknown, at first the wait's start; infinite after a status.
        failing_since: when ERROR was first seen; LeadSquared may have retried it since.
        trouble: the error of the last poll, if it failed.
    """

    request_id: str
    outcome: asyncio.Future[RequestStatus] = field(repr=False)
    since: float
    patience: float = GRACE
    reference: str | None = None
    last: RequestStatus | None = None
    unknown_since: float = field(init=False)
    failing_since: float | None = None
    trouble: LeadSquaredError | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.unknown_since = self.since

    def is_final(self, status: RequestStatus, now: float) -> bool:
        """Whether this status ends the wait; an ERROR does after LeadSquared's last retry."""
        if status.state is not RequestState.FAILED or status.is_final:
            return status.is_final
        if self.failing_since is None:
            self.failing_since = now
        # It is not documented whether a request is ERROR between two retries.
        failing, before = now - self.failing_since, self.failing_since - self.since
        return failing >= RETRIED_FOR + MARGIN or before >= RETRIED_FOR - MARGIN


class Tracker:
    """Follows the requests of one operation with as few calls as the order of LeadSquared's queue allows.

    Attributes:
        answers: polls that were answered with a status.
    """

    def __init__(self, sender: Sender, operation: Operation) -> None:
        # Without retries, since the next sweep polls again.
        settings = replace(sender.settings, deadline=None, retry=RetryPolicy(attempts=1))
        self._sender = Sender(sender.session, settings, links=())  # a poll serves all waiters
        self._operation = operation
        self._order = QueueOrder()
        self._added = asyncio.Event()
        self._followers: dict[str, list[Follower]] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.answers = 0

    @property
    def path(self) -> Path:
        """The path that it polls."""
        given = self._sender.session.options.paths.get(f"{self._operation.name} status")
        return self._operation.status if given is None else Path(given, Certainty.GIVEN)

    @property
    def waiting(self) -> int:
        """The requests that are followed."""
        return len(self._followers)

    def follow(self, request_id: str, *, patience: float = GRACE, reference: str | None = None) -> Follower:
        """Start to follow a request, until `leave`."""
        loop = asyncio.get_running_loop()
        name, outcome = request_id_of(request_id), loop.create_future()
        follower = Follower(name, outcome, clock.now(), patience, reference)
        others = self._followers.setdefault(follower.request_id, [])
        if not others:
            self._order.add(follower.request_id)
            self._added.set()
        others.append(follower)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._sweep_until_all_are_final(), name=f"leadsquared_async {self._operation.name} tracker"
            )
            self._task.add_done_callback(self._ended)
        return follower

    def leave(self, follower: Follower) -> None:
        """End a wait; a second call has no effect."""
        if not self._end(follower):
            return
        self._order.remove(follower.request_id)
        if not self._followers and self._task is not None:
            # The next `follow` starts another task, since this one takes a moment to end.
            self._task.cancel()
            self._ending.add(self._task)
            self._task = None

    def _end(self, follower: Follower) -> bool:
        """Remove it, and return whether it was the last follower of its request."""
        others = self._followers.get(follower.request_id, [])
        if follower not in others:
            return False
        others.remove(follower)
        if not others:
            del self._followers[follower.request_id]
        return not others

    @without_locals
    async def wait(
        self, request_id: str, deadline: float | None, reference: str | None = None
    ) -> RequestStatus:
        """Follow a request until its status is final; the reference is for its event.

        Raises:
            StillProcessing: it is not final within `deadline` seconds; wait again.
            LeadSquaredError: an account-level error, or an id that stays unknown.
        """
        start = clock.now()
        follower = self.follow(request_id, reference=reference)
        try:
            with suppress(TimeoutError):
                async with clock.timeout(deadline):
                    await asyncio.wait([follower.outcome])
            if follower.outcome.done():
                return follower.outcome.result()
        finally:
            follower.outcome.cancel()
            self.leave(follower)
        raise self._still_processing(follower, clock.now() - start)

    def stop(self) -> set[asyncio.Task[None]]:
        """Stop polling; every wait ends with `ClientClosed`. Returns the tasks to await."""
        tasks = {task for task in (self._task, *self._ending) if task is not None}
        for task in tasks:
            task.cancel()
        return tasks

    def _still_processing(self, follower: Follower, waited: float) -> StillProcessing:
        if follower.last is not None:
            seen = "it was accepted and is still queued"
        elif isinstance(follower.trouble, NotFound):
            seen = "it has not been found yet"
        else:
            seen = "its status is not known yet"
        error = StillProcessing(
            f"{self._operation.name}: request {follower.request_id} is not finished after {waited:.3g} s: "
            f"{seen}; wait again later",
            delivery=_delivery(follower),
            request_id=follower.request_id,
            last_status=follower.last,
            waited=waited,
            operation=self._operation.name,
        )
        error.__cause__ = follower.trouble
        return error

    async def _sweep_until_all_are_final(self) -> None:
        """Pause and sweep in turn; an error that would hit every poll ends every wait."""
        try:
            while self._order:
                await self._pause()
                await self._sweep()
        except LeadSquaredError as error:
            self._fail_all(error)

    async def _pause(self) -> None:
        """Sleep until the next sweep; a new request may bring it forward."""
        until = clock.now() + self._order.schedule.pause
        self._sender.session.check_usable()
        await self._sender.session.while_open(partial(self._sleep, until))

    async def _sleep(self, until: float) -> None:
        while (left := until - clock.now()) > 0:
            self._added.clear()
            with suppress(TimeoutError):
                async with clock.timeout(left):
                    await self._added.wait()
                until = min(until, clock.now() + self._order.schedule.pause)

    async def _sweep(self) -> None:
        sweep = self._order.sweep(clock.now())
        asked = next(sweep, ())
        while asked:
            polls = (self._poll(name) for name in asked)
            answers = await asyncio.gather(*polls, return_exceptions=True)
            if (failure := next((it for it in answers if isinstance(it, BaseException)), None)) is not None:
                for name, answer in zip(asked, answers, strict=True):
                    if answer is True:
                        self._order.remove(name)  # nothing waits for it, so it would be polled forever
                raise failure
            known = [answer for answer in answers if not isinstance(answer, BaseException)]
            try:
                asked, before = sweep.send(known), asked
            except StopIteration:
                self._add_again(asked)
                return
            self._add_again(before)

    def _add_again(self, asked: Iterable[str]) -> None:
        """Keep requests that finished and were followed again before the order recorded it."""
        for request_id in asked:
            if request_id in self._followers and request_id not in self._order:
                self._order.add(request_id)

    async def _poll(self, request_id: str) -> bool | None:
        """Whether the request is finished; ends its waits if so. None if there was no answer."""

        async def check_followed() -> None:
            if request_id not in self._followers:
                raise _NotFollowedError

        status, trouble = None, None
        try:
            status = await fetch_status(self._sender, self._operation, request_id, check_followed)
        except _NotFollowedError:
            return False
        except LeadSquaredError as error:
            trouble = error
        followers = list(self._followers.get(request_id, ()))
        if not followers:
            return False  # all waits have ended meanwhile
        if status is not None:
            self._on_status(followers, status)
        elif trouble is not None and not self._on_error(followers, trouble):
            return None
        return request_id not in self._followers

    def _on_error(self, followers: list[Follower], error: LeadSquaredError) -> bool:
        """Whether the error is about the request."""
        # The answer for an id that is not known yet is undocumented: it may be a rejection.
        is_unknown = isinstance(error, NotFound | Rejected) and not isinstance(error, NoSuchPath)
        if not is_unknown and (error.fault is Fault.ACCOUNT or error.scope is Scope.ACCOUNT):
            raise error
        is_about_it = is_unknown or (error.scope is Scope.LEAD and error.fault is Fault.LEAD)
        for follower in followers:
            follower.trouble = error
            if is_unknown:
                follower.unknown_since = min(follower.unknown_since, clock.now())
            is_early = is_unknown and clock.now() - follower.unknown_since <= follower.patience
            if is_about_it and not is_early:
                self._resolve(follower, error)
        return is_about_it

    def _on_status(self, followers: list[Follower], status: RequestStatus) -> None:
        self.answers += 1
        ended: list[Follower] = []
        for follower in followers:
            follower.last, follower.unknown_since, follower.trouble = status, math.inf, None
            if follower.is_final(status, clock.now()):
                ended.append(follower)
                self._resolve(follower, status if status.is_final else replace(status, is_final=True))
        if ended and self._sender.events.wants(logging.DEBUG):
            self._tell(status, ended)

    def _tell(self, status: RequestStatus, ended: list[Follower]) -> None:
        """Tell of a processed request, once for all who follow it."""
        from leadsquared_async.events import Processed  # noqa: PLC0415 - slow to import

        self._sender.events.emit(
            Processed(
                operation=self._operation.name,
                reference=next((it.reference for it in ended if it.reference is not None), None),
                request_id=ended[0].request_id,
                succeeded=status.succeeded,
                kind=None if status.succeeded else exception_in(status.reason) or status.state.value,
                waited=clock.now() - min(it.since for it in ended),
            )
        )

    def _resolve(self, follower: Follower, outcome: RequestStatus | LeadSquaredError) -> None:
        self._end(follower)
        if follower.outcome.done():
            return
        if isinstance(outcome, RequestStatus):
            follower.outcome.set_result(outcome)
            return
        # A copy each: a shared error would collect all their tracebacks.
        error = copy.copy(outcome)
        error.delivery = _delivery(follower)
        if isinstance(error, NotFound) and not isinstance(error, NoSuchPath):
            error.fault, error.scope = None, Scope.LEAD  # only this id is unknown
        follower.outcome.set_exception(error)
        follower.outcome.exception()  # mark it as retrieved, in case the wait ends in this tick

    def _fail_all(self, error: LeadSquaredError) -> None:
        for request_id, followers in list(self._followers.items()):
            self._order.remove(request_id)
            for follower in list(followers):
                self._resolve(follower, error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if self._task is not task:
            return  # it was replaced
        self._task = None
        if task.cancelled():
            self._fail_all(
                ClientClosed(f"{self._operation.name}: the client was closed before the call ended")
            )
        elif (error := task.exception()) is not None:
            # A bug in our own code: every wait ends with an error, and the loop's handler shows it.
            self._fail_all(LeadSquaredError(f"{self._operation.name}: the tracker failed"))
            raise error


def _delivery(follower: Follower) -> Delivery:
    """Whether LeadSquared has the request, as far as is known."""
    return Delivery.UNKNOWN if follower.last is None else Delivery.ACCEPTED


class Trackers:
    """The trackers of one client, one for each operation."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._trackers: dict[str, Tracker] = {}

    def of(self, operation: Operation) -> Tracker:
        """The operation's tracker."""
        if operation.name not in self._trackers:
            self._trackers[operation.name] = Tracker(self._sender, operation)
        return self._trackers[operation.name]

    @property
    def client(self) -> str | None:
        """The client's name."""
        return self._sender.session.options.name

    def waiting(self) -> dict[str, int]:
        """The requests that are followed, by operation; from any thread."""
        return {name: tracker.waiting for name, tracker in list(self._trackers.items())}

    def stop(self) -> set[asyncio.Task[None]]:
        """Stop each tracker; see `Tracker.stop`."""
        return {task for tracker in self._trackers.values() for task in tracker.stop()}


async def fetch_status(
    sender: Sender, operation: Operation, request_id: str, before_send: BeforeSend | None = None
) -> RequestStatus:
    """Fetch the status of a request with one call.

    Raises:
        NotFound: LeadSquared does not know the request (yet).
        LeadSquaredError: the call failed.
    """
    name = f"{operation.name} status"
    call = Call(
        operation=name,
        method="GET",
        path=operation.status.text,
        certainty=operation.status.certainty,
        query=(("RequestID", request_id_of(request_id)),),
        keys=Keys.API_KEY,
        expect=ExpectedBody.JSON,
        repeat=Idempotency.READ,
        lane=sender.lane(None, Lane.STATUS),
    )
    sent = await sender.send(call, before_send)
    status = read_status(sent.outcome.data, request_id)
    if status is None:
        raise NotFound(
            f"{name}: LeadSquared does not know this request (yet)",
            attempts=sent.attempts,
            waited=sent.waited,
            operation=name,
            status_code=sent.outcome.status_code,
            body=sent.outcome.body,
        )
    return status


def request_id_of(text: str) -> str:
    """The RequestID, stripped.

    Raises:
        ConfigurationError: it is invalid.
    """
    request_id = id_in(text)
    if request_id is None:
        raise ConfigurationError("request_id must be the RequestID from a receipt")
    return request_id
