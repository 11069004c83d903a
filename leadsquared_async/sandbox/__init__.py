"""A local LeadSquared emulator: it answers, limits and fails calls like the real one, and records each call.

`Sandbox` listens on loopback and needs the extra `sandbox`. `SandboxTransport` connects an
`httpx.AsyncClient` to the same `Account` without a socket. The sandbox shares no code with the client, so it
does not share its mistakes.
"""

from typing import TYPE_CHECKING, Any

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.answers import How, Reply, Request
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.counters import COUNTERS, most_in_any_window
from leadsquared_async.sandbox.exchanges import Arrival
from leadsquared_async.sandbox.faults import FAULTS, Faults
from leadsquared_async.sandbox.records import Activity, Lead, Opportunity, PhoneCall
from leadsquared_async.sandbox.sandbox import Sandbox
from leadsquared_async.sandbox.settings import Settings

if TYPE_CHECKING:
    from leadsquared_async.sandbox.transport import SandboxTransport

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


def __getattr__(name: str) -> Any:
    """Import the transport on first use: it needs httpx, for which `leadsquared --help` would wait."""
    if name != "SandboxTransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from leadsquared_async.sandbox.transport import SandboxTransport  # noqa: PLC0415

    return SandboxTransport
