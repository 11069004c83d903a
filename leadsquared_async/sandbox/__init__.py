"""A LeadSquared on your own machine: it answers, counts and fails like the real one, and keeps the books.

`Sandbox` listens on loopback (and needs the extra `sandbox`), `SandboxTransport` puts the same
`Account` behind an `httpx.AsyncClient` without a socket. Nothing here uses the client: what the client gets
wrong shows.
"""

from leadsquared_async.sandbox.account import Account, Arrival
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.faults import FAULTS, Faults
from leadsquared_async.sandbox.leads import Activity, Lead
from leadsquared_async.sandbox.limits import COUNTERS, most_in_any_window
from leadsquared_async.sandbox.loopback import Sandbox, serve
from leadsquared_async.sandbox.messages import How, Reply, Request
from leadsquared_async.sandbox.records import Opportunity, PhoneCall
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
    "serve",
]
