"""The credentials in use: fixed, or fetched at first use and after LeadSquared rejects them."""

from __future__ import annotations

import asyncio
import logging

from leadsquared_async.config import Credentials, CredentialsProvider
from leadsquared_async.errors import ConfigurationError, Fault, Scope
from leadsquared_async.logs import ClientEvents

__all__ = ["CredentialsSource"]

LAST_WAIT = 1.0
"""Seconds to wait for a cancelled callable to end."""


class CredentialsSource:
    """The account's credentials; concurrent callers share one request for new ones.

    Args:
        source: the credentials, or an async callable that returns them.
        events: receive an event when the callable returns other keys.
    """

    def __init__(self, source: Credentials | CredentialsProvider, events: ClientEvents) -> None:
        self._events = events
        self._provider = None if isinstance(source, Credentials) else source
        self._current = source if isinstance(source, Credentials) else None
        self._request: asyncio.Task[Credentials] | None = None

    @property
    def known(self) -> Credentials | None:
        """The credentials in use; None until the callable has returned them."""
        return self._current

    async def get(self) -> Credentials:
        """The credentials in use; calls the callable if there are none yet.

        Raises:
            ConfigurationError: the callable failed or did not return credentials.
        """
        return self._current or await self._ask()

    async def renew(self, rejected: Credentials) -> bool:
        """Fetch new credentials unless another caller has; return whether they differ from `rejected`.

        Raises:
            ConfigurationError: the callable failed or did not return credentials.
        """
        if self._provider is None:
            return False
        if self._current is rejected:
            await self._ask()
        return self._current != rejected

    async def aclose(self) -> None:
        """Cancel the running request."""
        if self._request is not None:
            self._request.cancel()
            await asyncio.wait([self._request], timeout=LAST_WAIT)

    async def _ask(self) -> Credentials:
        if self._request is None:
            self._request = asyncio.create_task(self._call(), name="leadsquared_async credentials")
            self._request.add_done_callback(self._ended)
        # Shielded, so that cancelling one caller does not cancel the request of the others.
        return await asyncio.shield(self._request)

    def _ended(self, request: asyncio.Task[Credentials]) -> None:
        self._request = None
        if not request.cancelled():
            request.exception()  # marks it as retrieved, in case every caller was cancelled

    async def _call(self) -> Credentials:
        assert self._provider is not None
        try:
            answer = await self._provider()
        except (Exception, asyncio.CancelledError) as error:
            # Includes a cancellation inside the callable: its callers were not cancelled and need an error.
            raise _invalid(f"the credentials callable failed with {type(error).__name__}") from error
        if not isinstance(answer, Credentials):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _invalid(f"the credentials callable must return Credentials, not {type(answer).__name__}")
        before, self._current = self._current, answer
        if before is not None and before != answer and self._events.wants(logging.INFO):
            from leadsquared_async.events import CredentialsRenewed  # noqa: PLC0415 - slow to import

            self._events.emit(CredentialsRenewed())
        return answer


def _invalid(message: str) -> ConfigurationError:
    return ConfigurationError(message, fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)
