"""The keys in use: given once, or asked for at first use and again when LeadSquared refuses them."""

from __future__ import annotations

import asyncio

from leadsquared_async.config import Credentials, CredentialsProvider
from leadsquared_async.errors import ConfigurationError, Fault, Scope

__all__ = ["Keyring"]

LAST_WAIT = 1.0
"""Seconds for which a callable that ignores its cancellation is waited for."""


class Keyring:
    """The account's keys; callers that need new ones at the same moment share one question.

    Args:
        source: the keys, or an async callable that returns them.
    """

    def __init__(self, source: Credentials | CredentialsProvider) -> None:
        self._provider = None if isinstance(source, Credentials) else source
        self._current = source if isinstance(source, Credentials) else None
        self._question: asyncio.Task[Credentials] | None = None

    @property
    def known(self) -> Credentials | None:
        """The keys in use; None while they have to be asked for."""
        return self._current

    async def current(self) -> Credentials:
        """The keys in use.

        Raises:
            ConfigurationError: the callable failed, or returned something that cannot be keys.
        """
        return self._current or await self._ask()

    async def renewed(self, refused: Credentials) -> bool:
        """Whether there are other keys than those that were refused; asks for them unless somebody has."""
        if self._provider is None:
            return False
        if self._current is refused:
            await self._ask()
        return self._current != refused

    async def aclose(self) -> None:
        """Stop asking."""
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait([self._question], timeout=LAST_WAIT)

    async def _ask(self) -> Credentials:
        if self._question is None:
            self._question = asyncio.create_task(self._answer(), name="leadsquared_async credentials")
            self._question.add_done_callback(self._answered)
        # Shielded: one caller that leaves must not take the keys from the others.
        return await asyncio.shield(self._question)

    def _answered(self, question: asyncio.Task[Credentials]) -> None:
        self._question = None
        if not question.cancelled():
            question.exception()  # seen, even if all who asked have left

    async def _answer(self) -> Credentials:
        assert self._provider is not None
        try:
            answer = await self._provider()
        except (Exception, asyncio.CancelledError) as error:
            # Cancelled too: whoever waits for the keys was not, and has to be told.
            raise ConfigurationError(
                f"the credentials callable failed with {type(error).__name__}",
                fault=Fault.ACCOUNT,
                scope=Scope.ACCOUNT,
            ) from error
        if not isinstance(answer, Credentials):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"the credentials callable has to return Credentials, not {type(answer).__name__}",
                fault=Fault.ACCOUNT,
                scope=Scope.ACCOUNT,
            )
        self._current = answer
        return answer
