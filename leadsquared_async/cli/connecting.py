"""A client by the options of a command; keys come from the environment only."""

from __future__ import annotations

import os
from dataclasses import dataclass

from leadsquared_async import LeadSquared, RateLimit, RetryPolicy
from leadsquared_async.config import hosts_from, rate_limit_from
from leadsquared_async.errors import ConfigurationError

__all__ = ["Connection"]

QUICK = RetryPolicy(attempts=3, within=10.0, cap=2.0)
"""For a question that somebody waits for, and can ask again."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a command was told about the account.

    Attributes:
        host: the asynchronous host; else the environment's.
        region: the region; else the environment's.
        rate: calls in seconds, such as 20/5; else the environment's.
    """

    host: str | None = None
    region: str | None = None
    rate: str | None = None

    @property
    def limit(self) -> RateLimit:
        """The limit that calls keep to.

        Raises:
            ConfigurationError: it is written otherwise.
        """
        if self.rate is None:
            return rate_limit_from(None, os.environ)
        try:
            return RateLimit.parse(self.rate)
        except ConfigurationError:
            raise ConfigurationError(
                "--rate is written as calls/seconds, such as 20/5, with 1 to 10,000 calls"
            ) from None

    @property
    def origin(self) -> str:
        """Where calls go; empty if that is not known."""
        try:
            return hosts_from(self.host, None, self.region, os.environ).host
        except ConfigurationError:
            return ""

    def client(self, *, quick: bool = False) -> LeadSquared:
        """A client, not entered yet.

        Args:
            quick: whether its calls give up soon.

        Raises:
            ConfigurationError: keys or host are missing, or cannot be right.
        """
        return LeadSquared(
            host=self.host,
            region=self.region,
            rate_limit=self.limit,
            retry=QUICK if quick else None,
        )
