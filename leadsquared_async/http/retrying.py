"""When a call is retried, and after which pause: tenacity's retry, stop and wait objects for a `RetryPolicy`.

tenacity has the retry predicate, the jitter and the composition. Its own stop objects cannot carry our rules:
`stop_after_attempt` would count 429s, and `stop_before_delay` reads another clock than the loop's and knows
nothing of the time that passed before the first attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_result
from tenacity.stop import stop_base
from tenacity.wait import wait_base, wait_random_exponential

from leadsquared_async.config import RetryPolicy
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Outcome, attempts_allowed, may_retry

__all__ = ["Attempt", "attempt_of", "retrying"]

LONGEST_RETRY_AFTER = 60.0
"""Seconds. A longer one, unless it is of a 429, ends the call: whoever made it can do more than sleep."""


class Attempt(NamedTuple):
    """An attempt that has ended.

    Attributes:
        outcome: what it came to.
        counted: attempts so far that count towards `RetryPolicy.attempts`.
        left: seconds until the call's deadline; None if it has none.
        out_of_time: whether only the deadline rules out another attempt.
    """

    outcome: Outcome
    counted: int
    left: float | None
    out_of_time: bool = False


def attempt_of(state: RetryCallState) -> Attempt:
    """The attempt that tenacity asks about."""
    assert state.outcome is not None
    return cast("Attempt", state.outcome.result())


def retrying(
    repeat: Idempotency,
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[RetryCallState], None],
) -> AsyncRetrying:
    """Retries a function that returns an `Attempt`; returns the last one. What it raises is raised at once.

    Args:
        repeat: may the call be made twice?
        policy: bounds of attempts and pauses.
        sleep: awaited for each pause, with its seconds.
        before_sleep: called before each pause.
    """
    attempts_used_up = stop_after_counted_attempts(policy)
    return AsyncRetrying(
        retry=retry_if_result(lambda attempt: may_retry(attempt.outcome, repeat, policy)),
        stop=attempts_used_up | stop_before_deadline(),
        wait=wait_at_least_retry_after(wait_random_exponential(multiplier=policy.base, max=policy.cap)),
        sleep=sleep,
        before_sleep=before_sleep,
        retry_error_callback=lambda state: _last_attempt(state, attempts_used_up),
    )


class stop_after_counted_attempts(stop_base):  # noqa: N801 - named as tenacity's are
    """Stop when the attempts of the policy are used up, or LeadSquared asks for too long a pause; a 429
    neither counts nor stops."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy

    def __call__(self, retry_state: RetryCallState) -> bool:
        outcome, counted, _, _ = attempt_of(retry_state)
        is_too_long = (outcome.pause or 0.0) > LONGEST_RETRY_AFTER
        return not outcome.throttled and (is_too_long or counted >= attempts_allowed(outcome, self._policy))


class stop_before_deadline(stop_base):  # noqa: N801
    """Stop when the pause would not end before the call's deadline."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        left = attempt_of(retry_state).left
        return left is not None and retry_state.upcoming_sleep >= left


class wait_at_least_retry_after(wait_base):  # noqa: N801
    """Another wait, but no less than the server's Retry-After: tenacity's `wait_combine` would add them."""

    def __init__(self, wait: wait_base) -> None:
        self._wait = wait

    def __call__(self, retry_state: RetryCallState) -> float:
        return max(self._wait(retry_state), attempt_of(retry_state).outcome.pause or 0.0)


def _last_attempt(state: RetryCallState, attempts_used_up: stop_base) -> Attempt:
    """The attempt after which tenacity has stopped.

    If its attempts are used up as well, its own error says more than the deadline, unless that has passed.
    """
    attempt = attempt_of(state)
    return attempt._replace(out_of_time=attempt.left == 0.0 or not attempts_used_up(state))
