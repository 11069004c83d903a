"""A LeadSquared on your own machine: it answers, counts and fails like the real one, and records every call.

`Sandbox` listens on loopback (and needs the extra `sandbox`); `SandboxTransport` puts the same `Account`
behind an `httpx.AsyncClient` without a socket. Nothing here uses the client, so that its mistakes show.
"""

from leadsquared_async.sandbox.account import Account, Arrival
from leadsquared_async.sandbox.answers import How, Reply, Request
from leadsquared_async.sandbox.control import Books
from leadsquared_async.sandbox.counters import COUNTERS, most_in_any_window
from leadsquared_async.sandbox.faults import FAULTS, Faults
from leadsquared_async.sandbox.records import Activity, Lead, Opportunity, PhoneCall
from leadsquared_async.sandbox.settings import Settings
from leadsquared_async.sandbox.transport import Sandbox, SandboxTransport

__all__ = [
    "COUNTERS",
    "FAULTS",
    "Account",
    "Activity",
    "Arrival",
    "Books",
    "Faults",
    "How",
    "Lead",
    "Opportunity",
    "PhoneCall",
    "Reply",
    "Request",
    "Sandbox",
    "SandboxTransport",
    "Settings",
    "most_in_any_window",
]
