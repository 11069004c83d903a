"""The keys, the lead and the limit of all benchmarks."""

from __future__ import annotations

from typing import Any

from leadsquared_async import LeadSquared, RateLimit
from leadsquared_async.sandbox import Sandbox

KEYS = {"access_key": Sandbox.access_key, "secret_key": Sandbox.secret_key, "api_key": Sandbox.api_key}
LEAD = {
    "FirstName": "Bret",
    "LastName": "Lee",
    "EmailAddress": "bret.lee@example.com",
    "Phone": "+91-9988776655",
    "Source": "Web",
    "mx_City": "Bengaluru",
}

LIMIT = RateLimit(25, per=5.0)
STRICT = RateLimit(24, per=5.0, margin=0.04)
"""For a sliding counter that does not round its estimate down."""


def client(url: str, **options: Any) -> LeadSquared:
    """A client of the server at `url`."""
    return LeadSquared(**{**KEYS, "host": url, **options})
