"""One call: credentials, token, exchange, and retries after a pause until the outcome is final.

`retry.py` decides; tenacity runs the loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar, cast

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
    join,
)
from leadsquared_async.http.call import Call, Settings
from leadsquared_async.http.error_messages import delivery_sentence, error_from
from leadsquared_async.http.session import CLOSED, Session
from leadsquared_async.limiter.interface import Limiter, NoTokenInTime
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Outcome, RetryHint
from leadsquared_async.retry import are_attempts_used_up, may_retry, without_attempts_left

__all__ = ["BeforeRetry", "BeforeSend", "Sent", "run"]

T = TypeVar("T")
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


async def run(
    session: Session,
    call: Call,
    settings: Settings,
    before_send: BeforeSend | None,
    before_retry: BeforeRetry | None,
) -> Sent:
    """Make the call, with retries as its outcome and the settings require; see `Sender.send`."""
    return await _Run(session, call, settings, before_send, before_retry).to_its_end()


class _Run:
    def __init__(
        self,
        session: Session,
        call: Call,
        settings: Settings,
        before_send: BeforeSend | None,
        before_retry: BeforeRetry | None,
    ) -> None:
        self._session = session
        self._events = session.events
        self._call = call
        self._settings = settings
        self._before_send = before_send
        self._before_retry = before_retry
        self._began = clock.now()
        self._deadline = None if settings.deadline is None else self._began + settings.deadline
        self._first: Attempt | None = None
        self._last: Outcome | None = None
        self._deliveries: list[Delivery] = []  # one per attempt so far
        self._exceptions: list[int] = []  # the attempts that failed with a .NET exception
        self._uncounted = 0
        self._waited_for_limit = self._paused = 0.0
        self._credentials_renewed = False
        self._is_exchanging = False

    async def to_its_end(self) -> Sent:
        try:
            attempt = await self._last_attempt()
            if not attempt.outcome.succeeded:
                if attempt.out_of_time:
                    raise self._deadline_exceeded("before another attempt") from self._last_error()
                raise self._final_error(attempt.outcome)
        except LeadSquaredError as error:
            self._tell_end(error)
            raise
        self._tell_end(None)
        return Sent(attempt.outcome, len(self._deliveries), self._waited)

    async def _last_attempt(self) -> Attempt:
        try:
            attempt: Attempt = await self._attempt()
            if not attempt.outcome.succeeded:  # most calls succeed at once, and tenacity would add a tenth
                self._first = attempt
                attempt = await retrying(
                    self._call.repeat, self._settings.retry, sleep=self._sleep, before_sleep=self._begin_retry
                )(self._next_attempt)
        except ClientClosed:
            raise self._closed() from self._last_error()
        except (asyncio.CancelledError, Exception) as error:
            is_reported = self._is_exchanging or isinstance(error, LeadSquaredError)
            if self._last is not None and not is_reported:
                self._session.in_flight.leave(self._call, self._deliveries, self._last)
            raise
        return attempt

    async def _next_attempt(self) -> Attempt:
        """Return the first attempt, which was already made, then make others."""
        first, self._first = self._first, None
        return first or await self._attempt()

    async def _attempt(self) -> Attempt:
        credentials = await self._credentials()
        limiter = self._session.limiter_for(self._call.limit, credentials)
        await self._acquire_token(limiter)
        with clock.busy():
            await self._prepare(limiter)
            left = self._left()
            timeout = self._settings.timeout if left is None else min(self._settings.timeout, left)
            exchange = self._session.transport.exchange(self._call, credentials, timeout)
            self._is_exchanging = True  # a caller that leaves now is logged with its outcome
            outcome = await self._session.in_flight.run(self._call, exchange, limiter, self._deliveries)
            self._is_exchanging = False
        if outcome.retry is RetryHint.A_FEW_TIMES:
            self._exceptions.append(len(self._deliveries))
        self._deliveries.append(outcome.delivery)
        self._uncounted += outcome.throttled
        self._last = outcome
        if outcome.error is AuthenticationFailed and not self._credentials_renewed:
            self._last = outcome = await self._with_new_credentials(outcome, credentials)
        counted = len(self._deliveries) - self._uncounted
        return Attempt(outcome, counted, len(self._exceptions), self._left())

    async def _credentials(self) -> Credentials:
        source = self._session.credentials
        if source.known is not None:
            return source.known
        try:
            async with asyncio.timeout(self._left()):
                return await self._shared(source.get)
        except TimeoutError:
            when = "while waiting for the credentials callable"
            raise self._deadline_exceeded(when) from self._last_error()

    async def _with_new_credentials(self, outcome: Outcome, rejected: Credentials) -> Outcome:
        """After the first 401, retry if the callable returns other credentials."""
        self._credentials_renewed = True
        try:
            async with asyncio.timeout(self._left()):
                is_renewed = await self._shared(partial(self._session.credentials.renew, rejected))
        except TimeoutError:
            is_renewed = False
        if not is_renewed:
            return outcome
        self._uncounted += 1
        return dataclasses.replace(outcome, retry=RetryHint.YES)

    async def _acquire_token(self, limiter: Limiter) -> None:
        try:
            before = clock.now()
            try:
                with self._limiter_errors():
                    await self._shared(partial(limiter.acquire, self._call.lane, self._deadline))
            finally:
                self._waited_for_limit += clock.now() - before
        except TimeoutError as error:
            if self._deadline is None:
                raise  # only a custom limiter does this
            named = str(error) if isinstance(error, NoTokenInTime) else "the custom limiter"
            raise self._deadline_exceeded(f"while waiting for {named}") from self._last_error()

    async def _shared(self, wait: Callable[[], Awaitable[T]]) -> T:
        """Await something shared with other calls; each call raises its own copy of the error."""
        try:
            return await self._session.while_open(wait)
        except ConfigurationError as error:
            facts = self._facts() | Facts(fault=error.fault, scope=Scope.ACCOUNT, safe_to_retry=False)
            raise ConfigurationError(f"{self._label}{error}", **facts) from error.__cause__

    async def _prepare(self, limiter: Limiter) -> None:
        """Run `before_send` and tell of the attempt; if one of them prevents sending, return the token."""
        try:
            if self._before_send is not None:
                await self._before_send()
            self._session.check_not_closing()
            if self._events.wants(logging.DEBUG):
                self._tell_sent()
        except BaseException:
            with self._limiter_errors():
                limiter.release_unused()
            raise

    @contextmanager
    def _limiter_errors(self) -> Generator[None]:
        """Errors of a limiter of the caller's; an outbox or a task holds, as when LeadSquared is down."""
        try:
            yield
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            is_cancelled = (
                isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
            )
            if not self._call.recorded or isinstance(error, LeadSquaredError) or is_cancelled:
                raise
            raise LeadSquaredError(
                f"{self._label}the custom limiter failed with {type(error).__name__}",
                **(self._facts() | Facts(fault=Fault.SERVER, scope=Scope.SERVER)),
            ) from error

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
            for number in self._exceptions:
                self._deliveries[number] = last.delivery
        return error_from(last, self._call, self._facts(), self._label)

    def _deadline_exceeded(self, when: str) -> DeadlineExceeded:
        facts = self._facts()
        last = "" if self._last is None else f"; last attempt: {self._last.summary}"
        return DeadlineExceeded(
            f"{self._label}deadline of {self._settings.deadline:g} s exceeded {when}{last}"
            f"{delivery_sentence(self._call, facts)}",
            **facts,
        )

    def _closed(self) -> ClientClosed:
        """The error when the client is closed during the call."""
        facts = self._facts() | Facts(scope=Scope.ACCOUNT)
        return ClientClosed(f"{self._label}{CLOSED}{delivery_sentence(self._call, facts)}", **facts)


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
