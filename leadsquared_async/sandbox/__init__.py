"""A local LeadSquared emulator: it answers, limits and fails calls like the real one, and records each call.

`Sandbox` listens on loopback and needs the extra `sandbox`. `SandboxTransport` connects an
`httpx.AsyncClient` to the same `Account` without a socket. The sandbox shares no code with the client, so it
does not share its mistakes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leadsquared_async.sandbox.account import Account
    from leadsquared_async.sandbox.answers import How, Reply, Request
    from leadsquared_async.sandbox.books import Books
    from leadsquared_async.sandbox.counters import COUNTERS, most_in_any_window
    from leadsquared_async.sandbox.exchanges import Arrival
    from leadsquared_async.sandbox.faults import FAULTS, Faults
    from leadsquared_async.sandbox.records import Activity, Lead, Opportunity, PhoneCall
    from leadsquared_async.sandbox.sandbox import Sandbox
    from leadsquared_async.sandbox.settings import Settings
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

_HOMES = {
    "account": ("Account",),
    "answers": ("How", "Reply", "Request"),
    "books": ("Books",),
    "counters": ("COUNTERS", "most_in_any_window"),
    "exchanges": ("Arrival",),
    "faults": ("FAULTS", "Faults"),
    "records": ("Activity", "Lead", "Opportunity", "PhoneCall"),
    "sandbox": ("Sandbox",),
    "settings": ("Settings",),
    "transport": ("SandboxTransport",),
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: `leadsquared --help` needs few of them, and would wait for the others."""
    for module, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
