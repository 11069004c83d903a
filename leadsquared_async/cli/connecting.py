"""Makes a client from the options of a command; keys come from the environment only."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from leadsquared_async import LeadSquared, RateLimit, RetryPolicy
from leadsquared_async.cli.options import ACCOUNT, option
from leadsquared_async.config import limit_in, rate_limit_from
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.hosts import Hosts, hosts_from

__all__ = ["Connection"]

BULK_LIMIT = RateLimit(1, per=5.0)
TRY = ". To try it without an account, run: leadsquared sandbox"
QUICK = RetryPolicy(attempts=3, cap=2.0)
"""For interactive calls, which the user can repeat."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The account and the rate limit of a command; the environment sets what no option does."""

    host: Annotated[
        str | None, option("--host URL", "The asynchronous host. Default: LEADSQUARED_HOST.", ACCOUNT)
    ] = None
    region: Annotated[
        str | None, option("--region NAME", "in21, us11 or sg. Default: LEADSQUARED_REGION.", ACCOUNT)
    ] = None
    rate: Annotated[
        str | None,
        option(
            "--rate CALLS/SECONDS",
            "The rate limit; lower it to leave calls for other programs. Default: LEADSQUARED_RATE_LIMIT.",
            ACCOUNT,
        ),
    ] = None
    bulk_rate: str | None = None
    name: str | None = None
    keys_in: Literal["query", "headers"] | None = None

    @property
    def limit(self) -> RateLimit:
        return rate_limit_from(None, os.environ) if self.rate is None else limit_in("--rate", self.rate)

    @property
    def bulk_limit(self) -> RateLimit:
        return BULK_LIMIT if self.bulk_rate is None else limit_in("--bulk-rate", self.bulk_rate)

    @property
    def has_sync_host(self) -> bool:
        return self.hosts.sync_host is not None

    @property
    def hosts(self) -> Hosts:
        with _in_options():
            return hosts_from(self.host, None, self.region, os.environ)

    @property
    def origin(self) -> str:
        """The asynchronous host; empty if it is not configured."""
        try:
            return self.hosts.host
        except ConfigurationError:
            return ""

    def client(self, *, quick: bool = False) -> LeadSquared:
        """A client, not entered yet; a quick one retries for a few seconds only."""
        with _in_options():
            return LeadSquared(
                name=self.name,
                host=self.host,
                region=self.region,
                rate_limit=self.limit,
                bulk_limit=self.bulk_limit,
                retry=QUICK if quick else None,
                keys_in=self.keys_in,
            )


@contextmanager
def _in_options() -> Generator[None]:
    """Name options and variables in errors about the configuration, instead of arguments."""
    try:
        yield
    except ConfigurationError as error:
        both = r"set \1LEADSQUARED_HOST and LEADSQUARED_SYNC_HOST"
        text = re.sub("pass (the )?host= and sync_host=", both, str(error))
        text = re.sub(r"\b(host|region)=", r"--\1", text)
        text = re.sub(r"^(host|region) ", r"--\1 ", text)
        text = re.sub(r"\b\w+_key \(or (\w+)\)", r"\1", text)
        if text.startswith(("missing ", "no host")):
            text += TRY
        raise ConfigurationError(text) from None
