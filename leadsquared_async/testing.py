"""For tests of code that uses the client: the real client, connected to a sandbox."""

from __future__ import annotations

from typing import Any

from leadsquared_async.client import LeadSquared
from leadsquared_async.sandbox import Sandbox

__all__ = ["client_of"]


def client_of(sandbox: Sandbox, **options: Any) -> LeadSquared:
    """A client of this sandbox, not yet opened.

    Example:
        async with Sandbox() as sandbox, client_of(sandbox) as lsq:
            receipt = await lsq.leads.capture({"FirstName": "Bret"})

    Args:
        sandbox: a running sandbox.
        options: of `LeadSquared`; host and keys are the sandbox's.

    Raises:
        ConfigurationError: an option is invalid.
        RuntimeError: the sandbox is not running.
    """
    options.setdefault("sync_host", sandbox.url)
    return LeadSquared(
        access_key=sandbox.access_key,
        secret_key=sandbox.secret_key,
        api_key=sandbox.api_key,
        host=sandbox.url,
        **options,
    )
