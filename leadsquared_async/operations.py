"""The one table of LeadSquared's asynchronous operations: where each is, how surely, and may it be repeated.

Paths and their certainty come from the pages of apidocs.leadsquared.com; what no page confirms is marked
and can be changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CAPTURE_LEADS", "Certainty", "Operation", "Path", "Repeat"]


class Certainty(Enum):
    """How surely a fact about LeadSquared is known."""

    DOCUMENTED = "documented"
    SEEN = "seen in the field"
    INFERRED = "inferred"


class Repeat(Enum):
    """May a call be made again when nobody knows whether the last attempt arrived?"""

    ALWAYS = "always"
    """A read: nothing changes."""
    SAFE = "safe"
    """A write that LeadSquared matches to what the first one made."""
    NEVER = "never"
    """A write that would be made twice."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path on the asynchronous host, and how surely it is known."""

    text: str
    certainty: Certainty


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    Attributes:
        name: what errors and logs call it: the resource and the verb.
        task_type: LeadSquared's word for it in a status.
        submit: where it is posted to.
        status: where its outcome is asked for.
        metrics: where its queue is measured.
        unidentified: may it be repeated on an unknown delivery if nothing in it identifies the lead?
        identified: the same, if something does.
    """

    name: str
    task_type: str
    submit: Path
    status: Path
    metrics: Path
    unidentified: Repeat
    identified: Repeat

    def repeat(self, *, identified: bool) -> Repeat:
        """May this call be repeated when its delivery is unknown?"""
        return self.identified if identified else self.unidentified


CAPTURE_LEADS = Operation(
    name="leads.capture",
    task_type="Lead Capture",
    submit=Path("/lead/capture", Certainty.DOCUMENTED),
    status=Path("/lead/status", Certainty.DOCUMENTED),
    metrics=Path("/lead/capture/metrics", Certainty.INFERRED),
    # A lead without ProspectID, EmailAddress, Phone or SearchBy is always a new lead: twice makes two.
    unidentified=Repeat.NEVER,
    identified=Repeat.SAFE,
)
