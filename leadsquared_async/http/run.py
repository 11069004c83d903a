"""One call: credentials, token, exchange, and retries after a pause until the outcome is final.

`retry.py` decides; tenacity runs the loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random_exponential

from leadsquared_async.clock import clock
from leadsquared_async.config import Credentials, RetryPolicy
from leadsquared_async.errors import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    Delivery,
    Facts,
    Fault,
    LeadSquaredError,
    Scope,
    ServerError,
    join,
)
from leadsquared_async.http.call import Call, Settings
from leadsquared_async.http.error_messages import delivery_sentence, error_from
from leadsquared_async.http.session import CLOSED, Session
from leadsquared_async.limiter.interface import Limiter, NoTokenInTime
from leadsquared_async.logs import ClientEvents
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Outcome, RetryHint
from leadsquared_async.retry import are_attempts_used_up, may_retry, without_attempts_left

__all__ = ["BeforeRetry", "BeforeSend", "Sent", "run"]

BeforeSend = Callable[[], Awaitable[None]]
BeforeRetry = Callable[[Delivery], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that succeeded.

    Attributes:
        outcome: the last attempt's.
        attempts: how many were made.
        waited: seconds spent waiting for tokens and between attempts.
    """

    outcome: Outcome
    attempts: int
    waited: float

    def without(self, what: str, operation: str) -> ServerError:
        """The error of an answer that does not contain what the operation asks for."""
        return ServerError(
            f"{operation}: the answer contains no {what}",
            delivery=Delivery.UNKNOWN,
            fault=Fault.SERVER,
            scope=Scope.OPERATION,
            safe_to_retry=True,
            attempts=self.attempts,
            waited=self.waited,
            operation=operation,
            status_code=self.outcome.status_code,
            body=self.outcome.body,
        )


def run(
    session: Session,
    call: Call,
    settings: Settings,
    before_send: BeforeSend | None,
    before_retry: BeforeRetry | None,
) -> Coroutine[Any, Any, Sent]:
    """Make the call, with retries as its outcome and the settings require; see `Sender.send`."""
    return _Run(session, call, settings, before_send, before_retry).to_its_end()


@dataclass(slots=True, eq=False, repr=False)
class _Run:
    _session: Session
    _call: Call
    _settings: Settings
    _before_send: BeforeSend | None
    _before_retry: BeforeRetry | None
    _began: float = field(default_factory=clock.now)
    _last: Outcome | None = None
    _deliveries: tuple[Delivery, ...] = ()  # one per attempt so far
    _exceptions: tuple[int, ...] = ()  # the attempts that failed with a .NET exception
    _uncounted: int = 0
    _waited_for_limit: float = 0.0
    _paused: float = 0.0
    _credentials_renewed: bool = False
    _is_exchanging: bool = False

    async def to_its_end(self) -> Sent:
        try:
            attempt = await self._attempt()
            if not attempt.outcome.succeeded:  # tenacity would add a tenth to each call's cost
                attempt = await self._retry(attempt)
        except (ClientClosed, ConfigurationError) as shared:
            error = self._own(shared)
            self._tell_end(error)
            raise error from error.__cause__
        except LeadSquaredError as error:
            error.operation = error.operation or self._call.operation  # a custom limiter's has neither
            error.reference = error.reference or self._call.reference
            self._tell_end(error)
            raise
        except (asyncio.CancelledError, Exception):
            if self._last is not None and not self._is_exchanging:
                self._session.in_flight.leave(self._call, self._deliveries, self._last)
            raise
        self._tell_end(None)
        return Sent(attempt.outcome, len(self._deliveries), self._waited)

    async def _attempt(self) -> Attempt:
        credentials = self._session.credentials.known or await self._credentials()
        limiter = self._session.limiter_for(self._call.limit, credentials)
        began = clock.now()
        try:
            try:
                await limiter.acquire(self._call.lane, self._deadline, self._events)
            finally:
                self._waited_for_limit += clock.now() - began
        except (Exception, asyncio.CancelledError) as error:
            self._raise_if_too_late(error)
            self._raise_if_recorded(error)
            raise
        return await self._exchange(credentials, limiter)

    async def _credentials(self) -> Credentials:
        try:
            async with asyncio.timeout(self._left()):
                return await self._session.while_open(self._session.credentials.get)
        except TimeoutError:
            when = "while waiting for the credentials callable"
            raise self._deadline_exceeded(when) from self._last_error()

    def _raise_if_too_late(self, error: BaseException) -> None:
        """A TimeoutError of a limiter is about the deadline, unless the call has none."""
        if isinstance(error, TimeoutError) and self._deadline is not None:
            named = str(error) if isinstance(error, NoTokenInTime) else "the custom limiter"
            raise self._deadline_exceeded(f"while waiting for {named}") from self._last_error()

    async def _exchange(self, credentials: Credentials, limiter: Limiter) -> Attempt:
        """Send the call, and count the attempt; its token is returned at the end."""
        with clock.busy():
            await self._prepare(limiter)
            left = self._left()
            timeout = self._settings.timeout if left is None else min(self._settings.timeout, left)
            exchange = self._session.transport.exchange(self._call, credentials, timeout)
            self._is_exchanging = True  # a caller that leaves now is logged with its outcome
            outcome = await self._session.in_flight.run(self._call, exchange, limiter, self._deliveries)
            self._is_exchanging = False
        if outcome.retry is RetryHint.A_FEW_TIMES:
            self._exceptions += (len(self._deliveries),)
        self._deliveries += (outcome.delivery,)
        self._uncounted += outcome.throttled
        self._last = outcome
        if outcome.error is AuthenticationFailed and not self._credentials_renewed:
            self._last = outcome = await self._with_new_credentials(outcome, credentials)
        counted = len(self._deliveries) - self._uncounted
        return Attempt(outcome, counted, len(self._exceptions), self._left())

    async def _prepare(self, limiter: Limiter) -> None:
        """Run `before_send` and tell of the attempt; if one of them prevents sending, return the token."""
        try:
            if self._before_send is not None:
                await self._before_send()
            self._session.check_not_closing()
            if self._events.wants(logging.DEBUG):
                self._tell_sent()
        except BaseException:
            try:
                limiter.release_unused()
            except (Exception, asyncio.CancelledError) as error:
                self._raise_if_recorded(error)
                raise
            raise

    def _raise_if_recorded(self, error: BaseException) -> None:
        """An error of a custom limiter: an outbox or a task holds, as when LeadSquared is down."""
        task = asyncio.current_task()
        is_cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        if self._call.recorded and not isinstance(error, LeadSquaredError) and not is_cancelled:
            raise LeadSquaredError(
                f"{self._label}the custom limiter failed with {type(error).__name__}",
                **(self._facts() | Facts(fault=Fault.SERVER, scope=Scope.SERVER)),
            ) from error

    async def _with_new_credentials(self, outcome: Outcome, rejected: Credentials) -> Outcome:
        """After the first 401, retry if the callable returns other credentials."""
        self._credentials_renewed = True
        renew = partial(self._session.credentials.renew, rejected)
        try:
            async with asyncio.timeout(self._left()):
                is_renewed = await self._session.while_open(renew)
        except TimeoutError:
            is_renewed = False
        if not is_renewed:
            return outcome
        self._uncounted += 1
        return dataclasses.replace(outcome, retry=RetryHint.YES)

    async def _retry(self, first: Attempt) -> Attempt:
        """Make more attempts until one succeeds; raises the error of the last."""
        made = [first]

        async def attempt() -> Attempt:
            return made.pop() if made else await self._attempt()

        retries = retrying(
            self._call.repeat, self._settings.retry, sleep=self._sleep, before_sleep=self._begin_retry
        )
        last: Attempt = await retries(attempt)
        if last.outcome.succeeded:
            return last
        if last.out_of_time:
            raise self._deadline_exceeded("before another attempt") from self._last_error()
        raise self._final_error(last.outcome)

    async def _sleep(self, seconds: float) -> None:
        self._paused += seconds
        await self._session.while_open(partial(clock.sleep, seconds))

    def _begin_retry(self, state: RetryCallState) -> None:
        if self._before_retry is not None:
            self._before_retry(join(self._deliveries))
        if self._events.wants(logging.INFO):
            self._tell_retry(attempt_of(state).outcome, state.upcoming_sleep)

    def _tell_sent(self) -> None:
        from leadsquared_async.http.call_events import sent  # noqa: PLC0415 - slow to import

        self._events.emit(sent(self._call, len(self._deliveries) + 1, self._waited))

    def _tell_retry(self, outcome: Outcome, delay: float) -> None:
        from leadsquared_async.http.call_events import retried  # noqa: PLC0415 - slow to import

        attempts = len(self._deliveries)
        self._events.emit(retried(self._call, outcome, attempts=attempts, waited=self._waited, delay=delay))

    def _tell_end(self, error: LeadSquaredError | None) -> None:
        if not self._events.wants(logging.DEBUG):
            return
        from leadsquared_async.http.call_events import call_ended  # noqa: PLC0415 - slow to import

        self._events.emit(
            call_ended(
                self._call,
                self._last,
                error,
                attempts=len(self._deliveries),
                waited=self._waited,
                waited_for_limit=self._waited_for_limit,
                duration=clock.now() - self._began,
            )
        )

    @property
    def _events(self) -> ClientEvents:
        return self._session.events

    @property
    def _deadline(self) -> float | None:
        return None if self._settings.deadline is None else self._began + self._settings.deadline

    @property
    def _waited(self) -> float:
        return self._waited_for_limit + self._paused

    @property
    def _label(self) -> str:
        return f"{self._session.label}{self._call.operation}: "

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - clock.now())

    def _facts(self) -> Facts:
        last = self._last
        return Facts(
            delivery=join(self._deliveries),
            fault=None if last is None else last.fault,
            scope=None if last is None else last.scope,
            attempts=len(self._deliveries),
            waited=self._waited,
            operation=self._call.operation,
            reference=self._call.reference,
            safe_to_retry=last is None or may_retry(last, self._call.repeat, self._settings.retry),
        )

    def _last_error(self) -> LeadSquaredError | None:
        return None if self._last is None else error_from(self._last, self._call, self._facts(), self._label)

    def _final_error(self, last: Outcome) -> LeadSquaredError:
        """The error of the last attempt; a write that failed with an exception every time is rejected."""
        if self._call.writes and last.retry is RetryHint.A_FEW_TIMES:
            self._last = last = without_attempts_left(last, len(self._exceptions))
            failed = self._exceptions
            self._deliveries = tuple(
                last.delivery if number in failed else delivery
                for number, delivery in enumerate(self._deliveries)
            )
        return error_from(last, self._call, self._facts(), self._label)

    def _deadline_exceeded(self, when: str) -> DeadlineExceeded:
        facts = self._facts()
        last = "" if self._last is None else f"; last attempt: {self._last.summary}"
        return DeadlineExceeded(
            f"{self._label}deadline of {self._settings.deadline:g} s exceeded {when}{last}"
            f"{delivery_sentence(self._call, facts)}",
            **facts,
        )

    def _own(self, error: ClientClosed | ConfigurationError) -> ClientClosed | ConfigurationError:
        """This call's own error for what ends all calls: the client is closed, or its keys or store fail."""
        facts = self._facts() | Facts(scope=Scope.ACCOUNT)
        if isinstance(error, ClientClosed):
            closed = ClientClosed(f"{self._label}{CLOSED}{delivery_sentence(self._call, facts)}", **facts)
            closed.__cause__ = self._last_error()
            return closed
        facts |= Facts(fault=error.fault, safe_to_retry=False)
        failed = ConfigurationError(f"{self._label}{error}", **facts)
        failed.__cause__ = error.__cause__
        return failed


class Attempt(NamedTuple):
    """A finished attempt.

    Attributes:
        outcome: its outcome.
        counted: attempts so far that count towards `RetryPolicy.attempts`.
        exceptions: attempts so far that failed with a .NET exception.
        left: seconds until the call's deadline; None if it has none.
        out_of_time: whether only the deadline rules out another attempt.
    """

    outcome: Outcome
    counted: int
    exceptions: int
    left: float | None
    out_of_time: bool = False


def retrying(
    repeat: Idempotency,
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[RetryCallState], None],
) -> AsyncRetrying:
    """Retries a function that returns an `Attempt`, and returns the last one. Exceptions are not retried.

    tenacity's own stop and wait objects do not fit: `stop_after_attempt` would count 429s,
    `stop_before_delay` does not use the loop's clock or count the time before the first attempt, and
    `wait_combine` would add Retry-After to the jitter instead of taking the longer one.
    """
    jitter = wait_random_exponential(multiplier=policy.base, max=policy.cap)

    def is_used_up(state: RetryCallState) -> bool:
        attempt = attempt_of(state)
        return are_attempts_used_up(attempt.outcome, attempt.counted, attempt.exceptions, policy)

    def is_out_of_time(state: RetryCallState) -> bool:
        left = attempt_of(state).left
        return left is not None and state.upcoming_sleep >= left

    def last_attempt(state: RetryCallState) -> Attempt:
        # If the attempts are used up too, report that rather than a deadline that has not yet passed.
        attempt = attempt_of(state)
        return attempt._replace(out_of_time=attempt.left == 0.0 or not is_used_up(state))

    return AsyncRetrying(
        retry=retry_if_result(lambda attempt: may_retry(attempt.outcome, repeat, policy)),
        stop=lambda state: is_used_up(state) or is_out_of_time(state),
        wait=lambda state: max(jitter(state), attempt_of(state).outcome.pause or 0.0),
        sleep=sleep,
        before_sleep=before_sleep,
        retry_error_callback=last_attempt,
    )


def attempt_of(state: RetryCallState) -> Attempt:
    """The attempt that tenacity is handling."""
    assert state.outcome is not None
    return cast("Attempt", state.outcome.result())
