"""The real client, connected to a sandbox."""

from __future__ import annotations

from typing import Any

from leadsquared_async.client import LeadSquared
from leadsquared_async.sandbox import Sandbox, SandboxTransport

__all__ = ["client_of", "environment_of"]

HOST = "https://sandbox.invalid"


def client_of(sandbox: Sandbox | SandboxTransport, **options: Any) -> LeadSquared:
    """A client of this sandbox, not yet opened.

    Example:
        async with Sandbox() as sandbox, client_of(sandbox) as lsq:
            receipt = await lsq.leads.capture({"FirstName": "Bret"})

    Args:
        sandbox: a running sandbox, or a `SandboxTransport`, which needs no socket.
        options: the options of `LeadSquared`; the host and the keys are the sandbox's.

    Raises:
        ConfigurationError: an option is invalid.
        RuntimeError: the sandbox is not running.
    """
    if isinstance(sandbox, SandboxTransport):
        host, options = HOST, {"transport": sandbox, **options}
    else:
        host = sandbox.url
    options.setdefault("sync_host", host)
    return LeadSquared(
        access_key=Sandbox.access_key,
        secret_key=Sandbox.secret_key,
        api_key=Sandbox.api_key,
        host=host,
        **options,
    )


def environment_of(sandbox: Sandbox) -> dict[str, str]:
    """The environment variables that make `LeadSquared()` a client of this sandbox.

    Args:
        sandbox: a running sandbox.

    Raises:
        RuntimeError: the sandbox is not running.
    """
    return {
        "LEADSQUARED_ACCESS_KEY": sandbox.access_key,
        "LEADSQUARED_SECRET_KEY": sandbox.secret_key,
        "LEADSQUARED_API_KEY": sandbox.api_key,
        "LEADSQUARED_HOST": sandbox.url,
        "LEADSQUARED_SYNC_HOST": sandbox.url,
    }
