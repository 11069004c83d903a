"""What an account keeps beside its leads: their activities, opportunities and phone calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from leadsquared_async.sandbox.answers import ApplicationError
from leadsquared_async.sandbox.leads import Activity, LeadStore
from leadsquared_async.sandbox.settings import OpportunityAnswer


@dataclass(frozen=True, slots=True)
class NewActivity:
    """An activity to be posted; its repr shows no personal data."""

    event: int
    note: str = field(repr=False)
    date: str
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewOpportunity:
    """An opportunity to be captured; its repr shows no personal data."""

    event_code: int
    note: str = field(repr=False)
    date: str
    fields: dict[str, str] = field(repr=False)
    flags: tuple[str, ...]


@dataclass(slots=True)
class Opportunity:
    """One opportunity; its repr shows no personal data."""

    id: str
    lead_id: str
    event_code: int
    at: float
    """Seconds on the processing queue's clock."""
    date: str = ""
    """OpportunityDateTime as it was passed."""
    note: str = field(default="", repr=False)
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name."""
    flags: tuple[str, ...] = ()
    """Those that were set when it was captured, such as DoNotChangeOwner."""


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """One phone call as it was logged; its repr shows neither the connector's key nor personal data."""

    id: str
    at: float
    """Seconds on the processing queue's clock."""
    connector_key: str = field(repr=False)
    instance: str | None
    """The guid of a connector's instance, where the path names one."""
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)


class Records:
    """The leads of an account and all that hangs on them."""

    def __init__(self, leads: LeadStore, new_id: Callable[[], str], answer: OpportunityAnswer) -> None:
        self.leads = leads
        self.opportunities: dict[str, Opportunity] = {}
        self.calls: list[PhoneCall] = []
        self._new_id = new_id
        self._answer = answer

    def post_activity(self, lead_id: str, new: NewActivity, at: float) -> dict[str, object]:
        """Add an activity to a lead; raises ApplicationError if there is no such lead."""
        lead = self.leads.leads.get(lead_id.lower())
        if lead is None:
            raise ApplicationError("MXUnknownProspectActivityException", "The lead does not exist.")
        activity = Activity(self._new_id(), str(new.event), at, new.date, new.note, new.fields)
        lead.activities.append(activity)
        return {"Id": activity.id}

    def post_lead_and_activity(
        self, passed: dict[str, str], new: NewActivity, at: float
    ) -> dict[str, object]:
        """Capture a lead and add an activity to it."""
        lead, created = self.leads.put(passed)
        return {**self.post_activity(lead.id, new, at), "RelatedId": lead.id, "IsCreated": created}

    def capture_opportunity(
        self, passed: dict[str, str], new: NewOpportunity, at: float
    ) -> dict[str, object]:
        """Capture a lead and its opportunity, with the activity that is always posted for one.

        The answer of the synchronous API is not wrapped as that of other calls is; whether the status holds
        it so is unknown.
        """
        lead, created = self.leads.put(passed)
        opportunity = Opportunity(
            self._new_id(), lead.id, new.event_code, at, new.date, new.note, dict(new.fields), new.flags
        )
        self.opportunities[opportunity.id] = opportunity
        activity = Activity(self._new_id(), str(new.event_code), at, new.date, new.note, new.fields)
        lead.activities.append(activity)
        if self._answer == "wrapped":
            message = {"Id": opportunity.id, "RelatedId": lead.id, "IsCreated": created}
            return {"Status": "Success", "Message": message}
        return {
            "Status": 0,
            "IsUnique": True,
            "RelatedProspectId": lead.id,
            "CreatedOpportunityId": opportunity.id,
            "ConflictedOpportunityId": None,
            "AdditionalDetails": [{"PostDeDupActionPerformed": 1, "ActivityId": activity.id}],
        }

    def update_opportunity(self, opportunity_id: str, note: str, fields: dict[str, str]) -> dict[str, object]:
        """Change the passed fields of an opportunity; raises ApplicationError if there is none."""
        opportunity = self.opportunities.get(opportunity_id.lower())
        if opportunity is None:
            raise ApplicationError("MXInvalidInputException", "The opportunity does not exist.")
        opportunity.note = note or opportunity.note
        opportunity.fields |= fields
        return {"AffectedRows": 1}

    def log_call(self, connector: Sequence[str], fields: dict[str, str], at: float) -> dict[str, object]:
        """Keep a phone call; `connector` is its key and perhaps the guid of its instance."""
        key, *instance = connector
        call = PhoneCall(self._new_id(), at, key, instance[0] if instance else None, fields)
        self.calls.append(call)
        return {"Id": call.id}
