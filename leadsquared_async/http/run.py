"""One call, from end to end: a token, an exchange, a decision, until it is done or out of bounds."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from tenacity import AsyncRetrying, RetryCallState

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.config import Credentials, Hosts, RateLimit, Secret
from leadsquared_async.errors import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    Delivery,
    Facts,
    LeadSquaredError,
    Scope,
    join,
)
from leadsquared_async.http.call import Call, Settings
from leadsquared_async.http.credentials import Keyring
from leadsquared_async.http.error_messages import delivery_sentence, error_from
from leadsquared_async.http.in_flight import InFlight
from leadsquared_async.http.retry import Bound, Decision, Progress, decide
from leadsquared_async.http.tracing import traced
from leadsquared_async.http.transport import Transport
from leadsquared_async.limiter.limiter import ChainedLimiters, Limit, Limiter
from leadsquared_async.limiter.local_limits import AccountLimits
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.logs import ClientLog
from leadsquared_async.protocol import Again, Outcome, given_up

__all__ = ["BeforeSend", "Pipeline", "Sent"]


BeforeSend = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that succeeded.

    Attributes:
        outcome: its last attempt's.
        attempts: how many it took.
        waited: seconds spent waiting for tokens and between attempts.
    """

    outcome: Outcome
    attempts: int
    waited: float


class Pipeline:
    """What the calls of one client have in common.

    Args:
        hosts: where calls go.
        keyring: the keys they carry.
        limits: the declared limits; shared with the process's other clients of the account.
        sharing: with whom the limits are shared.
        limiter: a limiter of the caller's, which every attempt passes as well.
        transport: the connections.
        log: takes the records about its calls.
        name: a label for messages.
    """

    def __init__(
        self,
        *,
        hosts: Hosts,
        keyring: Keyring,
        limits: Mapping[Limit, RateLimit],
        sharing: AccountLimits,
        limiter: Limiter | None,
        transport: Transport,
        log: ClientLog,
        name: str | None,
    ) -> None:
        self.hosts = hosts
        self.keyring = keyring
        self.limits = limits
        self.sharing = sharing
        self.limiter = limiter
        self.transport = transport
        self.log = log
        self.in_flight = InFlight(log)
        self.label = f"[{name}] " if name else ""
        self.buckets: dict[Limit, TokenQueue] = {}
        self._joined: dict[tuple[Limit, Secret], TokenQueue] = {}
        self.closing = False
        self._at_closing: set[Callable[[], None]] = set()
        self._assumed: list[tuple[float, int | None]] = []

    async def send(self, call: Call, settings: Settings, before_send: BeforeSend | None = None) -> Sent:
        """Make the call, as often as its outcome and the settings ask for.

        Args:
            call: what to send.
            settings: within which bounds.
            before_send: awaited before each attempt, with the token in hand; if it raises, nothing is sent.

        Raises:
            LeadSquaredError: of the kind that the last outcome names.
        """
        with traced(call) as facts:
            sent = await _Run(self, call, settings, before_send).to_its_end()
            outcome = sent.outcome
            facts.update(
                delivery=outcome.delivery.value,
                attempts=sent.attempts,
                waited=sent.waited,
                request_id=outcome.request_id,
            )
        return sent

    def limiter_for(self, limit: Limit, credentials: Credentials) -> Limiter:
        """What a call passes before it is sent: the account's bucket, and the caller's own limiter."""
        bucket = self.bucket_for(limit, credentials)
        return (
            bucket
            if self.limiter is None or limit is not Limit.CALLS
            else ChainedLimiters(bucket, self.limiter)
        )

    def bucket_for(self, limit: Limit, credentials: Credentials) -> TokenQueue:
        """The account's bucket of that kind; which account it is shows only once the keys are known."""
        bucket = self._joined.get((limit, credentials.api_key)) or self._join(limit, credentials)
        self.buckets[limit] = bucket
        return bucket

    def _join(self, limit: Limit, credentials: Credentials) -> TokenQueue:
        bucket = self.sharing.join(self.hosts.host, credentials, limit, self.limits[limit])
        if bucket.users == 1:
            bucket.log = self.log
        self._joined[limit, credentials.api_key] = bucket
        for ended, calls in self._assumed:
            bucket.assume_spent(ended, calls if limit is Limit.CALLS else None)
        if (before := self.buckets.get(limit)) is not None:
            # Other keys, and perhaps the same account: what was spent with the old ones counts.
            state = before.snapshot()
            bucket.assume_spent(asyncio.get_running_loop().time(), state.limit.calls - state.free)
        return bucket

    def check_open(self) -> None:
        """Go on only if the client is not closing.

        Raises:
            ClientClosed: it is.
        """
        if self.closing:
            raise ClientClosed(CLOSED)

    def assume_spent(self, ended: float, calls: int | None = None) -> None:
        """Count unknown calls of an earlier process on this account, as ended without an answer.

        Args:
            ended: the loop's time at which they had ended, at the latest.
            calls: how many; None for as many as the limit allows, as always of bulk calls.
        """
        self._assumed.append((ended, calls))
        for (limit, _), bucket in self._joined.items():
            bucket.assume_spent(ended, calls if limit is Limit.CALLS else None)

    def when_closing(self, end: Callable[[], None]) -> Callable[[], None]:
        """Have `end` called once when the client is closed; what is returned forgets it again.

        Raises:
            ClientClosed: it is closed already.
        """
        self.check_open()
        self._at_closing.add(end)
        return partial(self._at_closing.discard, end)

    @contextmanager
    def while_open(self) -> Generator[None]:
        """Around a wait, which ends when the client is closed.

        Raises:
            ClientClosed: it is closed, or was while this waited.
        """
        with anyio.CancelScope() as scope:
            forget = self.when_closing(scope.cancel)
            try:
                yield
            finally:
                forget()
        if scope.cancelled_caught:
            raise ClientClosed(CLOSED)

    async def pause(self, seconds: float) -> None:
        """Sleep.

        Raises:
            ClientClosed: the client was closed meanwhile.
        """
        with self.while_open():
            await anyio.sleep(seconds)

    async def aclose(self, grace: float, ending: Collection[asyncio.Task[Any]]) -> None:
        """Send nothing more, wait up to `grace` seconds for what is in flight, and close the connections.

        Args:
            grace: seconds.
            ending: cancelled tasks of the client; what they have in flight gets no grace.
        """
        self.closing = True
        for end in list(self._at_closing):
            end()
        try:
            if ending:
                await asyncio.wait(ending)
            await self.in_flight.finish(grace)
        finally:
            # Whoever is impatient with the wait above leaves nothing open behind.
            await uninterrupted(self._close(ending))

    async def _close(self, ending: Collection[asyncio.Task[Any]]) -> None:
        async with AsyncExitStack() as stack:
            for (limit, _), bucket in self._joined.items():
                stack.push_async_callback(self.sharing.leave, bucket, self.limits[limit])
            stack.push_async_callback(self.transport.aclose)
            stack.push_async_callback(self.keyring.aclose)
            await self.in_flight.break_off()
            if ending:
                await asyncio.wait(ending)


CLOSED = "the client was closed before it was done"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What tenacity is told of an attempt."""

    outcome: Outcome
    decision: Decision


class _Run:
    """One call under way."""

    def __init__(
        self, pipeline: Pipeline, call: Call, settings: Settings, before_send: BeforeSend | None
    ) -> None:
        self._pipeline = pipeline
        self._call = call
        self._settings = settings
        self._before_send = before_send
        self._clock = asyncio.get_running_loop().time
        self._deadline = None if settings.deadline is None else self._clock() + settings.deadline
        self._deliveries: list[Delivery] = []
        self._failed_at: list[bool] = []  # whether LeadSquared named an exception, by attempt
        self._uncounted = 0
        self._started: float | None = None
        self._refused_since: float | None = None
        self._waited = 0.0
        self._keys_renewed = False
        self._safe_to_retry = True
        self._last: Outcome | None = None

    async def to_its_end(self) -> Sent:
        try:
            attempt: _Attempt = await AsyncRetrying(
                sleep=self._pause,
                retry=_again,
                stop=_out_of_bounds,
                wait=_pause_of,
                retry_error_callback=_result_of,
            )(self._attempt)
        except ClientClosed:
            raise self._closed() from self._last_error()
        if attempt.outcome.succeeded:
            return Sent(attempt.outcome, len(self._deliveries), self._waited)
        if attempt.decision.bound is Bound.DEADLINE:
            raise self._deadline_exceeded("another attempt would be too late")
        raise self._given_up(attempt.outcome)

    async def _attempt(self) -> _Attempt:
        credentials = await self._credentials()
        limiter = self._pipeline.limiter_for(self._call.limit, credentials)
        await self._token(limiter)
        await self._ready(limiter)
        now = self._clock()
        self._start(now)
        left = self._left(now)
        timeout = self._settings.timeout if left is None else min(self._settings.timeout, left)
        exchange = self._pipeline.transport.exchange(self._call, credentials, timeout)
        outcome = await self._pipeline.in_flight.run(self._call, exchange, limiter)
        self._last = outcome
        self._deliveries.append(outcome.delivery)
        self._failed_at.append(outcome.again is Again.A_FEW_TIMES)
        outcome = await self._with_renewed_keys(outcome, credentials)
        decision = self._decide(outcome, now)
        self._safe_to_retry = decision.again
        if decision.again and decision.bound is None:
            self._pipeline.log.info(
                "%s: %s; again in %.2f s",
                f"{self._pipeline.label}{self._call.operation}",  # one argument, since each is stripped
                outcome.summary,
                decision.pause,
                extra={
                    "event": "retry",
                    "operation": self._call.operation,
                    "reference": self._call.reference,
                },
            )
        return _Attempt(outcome, decision)

    def _start(self, now: float) -> None:
        if self._started is None:
            self._started = now
        elif self._refused_since is not None:
            # The time under a refusal by the rate limit uses up nothing but the deadline.
            self._started += now - self._refused_since
        self._refused_since = None

    def _decide(self, outcome: Outcome, started: float) -> Decision:
        now = self._clock()
        if outcome.throttled:
            self._uncounted += 1
            self._refused_since = started
        progress = Progress(
            failures=len(self._deliveries),
            counted=len(self._deliveries) - self._uncounted,
            elapsed=now - (self._started or now),
            left=self._left(now),
        )
        return decide(outcome, self._call.repeat, self._settings.retry, progress, random.random())

    async def _credentials(self) -> Credentials:
        known = self._pipeline.keyring.known
        if known is not None and not self._pipeline.closing:
            return known
        with anyio.move_on_after(self._left(self._clock())), self._pipeline.while_open(), self._asking():
            return await self._pipeline.keyring.current()
        raise self._deadline_exceeded("the credentials callable has not answered")

    @contextmanager
    def _asking(self) -> Generator[None]:
        """The callers of one question, or of one store, share its error; each is told of its own call."""
        try:
            yield
        except ConfigurationError as error:
            message = f"{self._pipeline.label}{self._call.operation}: {error}"
            facts = self._facts(self._last)
            facts |= Facts(fault=error.fault, scope=Scope.ACCOUNT, safe_to_retry=False)
            raise ConfigurationError(message, **facts) from error.__cause__

    async def _with_renewed_keys(self, outcome: Outcome, credentials: Credentials) -> Outcome:
        """After a 401, once: ask for the keys anew, and go on with them if they are others."""
        if outcome.error is not AuthenticationFailed or self._keys_renewed:
            return outcome
        self._keys_renewed = True
        renewed = False
        with anyio.move_on_after(self._left(self._clock())), self._pipeline.while_open(), self._asking():
            renewed = await self._pipeline.keyring.renewed(credentials)
        if not renewed:
            return outcome
        self._uncounted += 1  # the attempt with the old keys is not held against the new ones
        return dataclasses.replace(outcome, again=Again.YES)

    async def _token(self, limiter: Limiter) -> None:
        before = self._clock()
        too_late = None
        try:
            with self._pipeline.while_open(), self._asking():
                await limiter.acquire(self._call.lane, self._deadline)
        except TimeoutError as error:
            if self._deadline is None:
                raise  # only a limiter of the caller's does this
            too_late = error
        finally:
            self._waited += self._clock() - before
        if too_late is not None:
            raise self._deadline_exceeded(str(too_late) or "the limiter that was passed has no room")

    async def _ready(self, limiter: Limiter) -> None:
        """The last moment before it is sent; whoever keeps it from being sent puts the token back."""
        try:
            if self._before_send is not None:
                await self._before_send()
            self._pipeline.check_open()
        except BaseException:
            limiter.release_unused()
            raise

    async def _pause(self, seconds: float) -> None:
        self._waited += seconds
        await self._pipeline.pause(seconds)

    def _left(self, now: float) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - now)

    def _facts(self, last: Outcome | None) -> Facts:
        return Facts(
            delivery=join(self._deliveries),
            fault=None if last is None else last.fault,
            scope=None if last is None else last.scope,
            attempts=len(self._deliveries),
            waited=self._waited,
            operation=self._call.operation,
            reference=self._call.reference,
            safe_to_retry=self._safe_to_retry,
        )

    def _error(self, last: Outcome) -> LeadSquaredError:
        label = f"{self._pipeline.label}{self._call.operation}: "
        return error_from(last, self._call, self._facts(last), label)

    def _given_up(self, last: Outcome) -> LeadSquaredError:
        """The error of the last attempt; a write that LeadSquared failed at each time was not taken."""
        final = given_up(last) if self._call.writes else last
        if final is not last:
            self._last, self._safe_to_retry = final, False
            self._deliveries = [
                final.delivery if failed else delivery
                for delivery, failed in zip(self._deliveries, self._failed_at, strict=True)
            ]
        return self._error(final)

    def _deadline_exceeded(self, why: str) -> DeadlineExceeded:
        """The whole call took too long; caused by the last attempt's error, if there was an attempt."""
        facts = self._facts(self._last)
        last = "" if self._last is None else f"; the last attempt: {self._last.summary}"
        error = DeadlineExceeded(
            f"{self._pipeline.label}{self._call.operation}: not done within its deadline of "
            f"{self._settings.deadline:g} s: {why}{last}{delivery_sentence(self._call, facts)}",
            **facts,
        )
        error.__cause__ = self._last_error()
        return error

    def _closed(self) -> ClientClosed:
        """The client was closed under the call; caused by the last attempt's error, if there was one."""
        facts = self._facts(self._last) | Facts(scope=Scope.ACCOUNT)
        return ClientClosed(
            f"{self._pipeline.label}{self._call.operation}: {CLOSED}{delivery_sentence(self._call, facts)}",
            **facts,
        )

    def _last_error(self) -> LeadSquaredError | None:
        return None if self._last is None else self._error(self._last)


def _result_of(state: RetryCallState) -> _Attempt:
    assert state.outcome is not None
    attempt = state.outcome.result()
    assert isinstance(attempt, _Attempt)
    return attempt


def _again(state: RetryCallState) -> bool:
    # An attempt that raised has nothing to decide: that error is the caller's to see.
    return state.outcome is not None and not state.outcome.failed and _result_of(state).decision.again


def _out_of_bounds(state: RetryCallState) -> bool:
    return _result_of(state).decision.bound is not None


def _pause_of(state: RetryCallState) -> float:
    return _result_of(state).decision.pause
