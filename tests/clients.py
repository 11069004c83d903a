"""Clients for tests: the real thing, in front of a sandbox."""

from __future__ import annotations

from typing import Any

import httpx

from leadsquared_async import LeadSquared
from leadsquared_async.sandbox import Account, Sandbox, SandboxTransport
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

KEYS = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "api_key": API_KEY}
LEAD = {"FirstName": "Bret", "EmailAddress": "bret.lee@example.com"}


class PatchedAccount(Account):
    """A sandbox's account whose answers a test replaces; the real one takes no attribute."""


def client_of(sandbox: Sandbox, **options: Any) -> LeadSquared:
    """A client of a sandbox on a socket."""
    return LeadSquared(**{**KEYS, "host": sandbox.url, "sync_host": sandbox.url, **options})


def virtual_client(account: Account, **options: Any) -> tuple[LeadSquared, SandboxTransport]:
    """A client of a sandbox without a socket, for a loop with a virtual clock."""
    transport = SandboxTransport(account)
    host = "https://sandbox.invalid"
    options = {"transport": transport, "host": host, "sync_host": host, **options}
    return LeadSquared(**{**KEYS, **options}), transport


def answering(handler: Any, **options: Any) -> LeadSquared:
    """A client whose calls a function answers."""
    options = {"transport": httpx.MockTransport(handler), "host": "https://sandbox.invalid", **options}
    return LeadSquared(**{**KEYS, **options})
