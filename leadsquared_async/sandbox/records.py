"""What an account keeps beside its leads: their activities, opportunities and phone calls."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypedDict

from leadsquared_async.sandbox.answers import ApplicationError
from leadsquared_async.sandbox.settings import OpportunityAnswer

IDENTITY = frozenset({"EmailAddress", "Phone", "Mobile"})
"""What a lead can be searched for, beside its id and custom fields."""
PHONES = frozenset({"Phone", "Mobile"})
BEHAVIORS = frozenset({"DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"})


class Captured(TypedDict):
    """What the synchronous API would have answered: `Id` is the activity's, `RelatedId` the lead's."""

    Id: str
    RelatedId: str
    IsCreated: bool


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that happened to a lead."""

    id: str
    event: str
    """`Lead Capture`, or the number of a posted one's event."""
    at: float
    """Seconds on the processing queue's clock."""
    date: str = ""
    """ActivityDateTime as it was passed."""
    note: str = field(default="", repr=False)
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name; an entry of a custom field set is `mx_Set.Entry`."""


@dataclass(slots=True)
class Lead:
    """One lead; its repr shows the id only."""

    id: str
    attributes: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name; an entry of a custom field set is `mx_Set.Entry`."""
    activities: list[Activity] = field(default_factory=list[Activity], repr=False)
    posted_updates: int = 0
    """How many updates asked for automations with `postUpdatedLead=true`."""


class LeadStore:
    """The leads of an account, by id and by what they are searched for.

    `schema_names` are the attributes that exist (None: all), `mandatory` those without which no lead is
    created, `unique` those whose values no two leads share, with their display names; with
    `by_digits` phone numbers match whatever stands between their digits.
    """

    def __init__(
        self,
        new_id: Callable[[], str],
        schema_names: Iterable[str] | None = None,
        *,
        mandatory: Collection[str] = (),
        unique: Mapping[str, str] = MappingProxyType({}),
        by_digits: bool = False,
    ) -> None:
        self.leads: dict[str, Lead] = {}
        self._new_id = new_id
        self._schema_names = None if schema_names is None else {*schema_names, "ProspectID", "SearchBy"}
        self._mandatory = mandatory
        self._unique = unique
        self._by_digits = by_digits
        self._indexes: dict[str, dict[str, dict[str, Lead]]] = {}

    def capture(self, passed: dict[str, str], behavior: str | None, at: float) -> Captured:
        """Create or update the lead that `passed` describes, and note a Lead Capture activity on it.

        Raises ApplicationError for unknown attributes, a new lead without a mandatory one, a value that
        another lead has of a unique one, a SearchBy that cannot be searched for and an unknown behavior.
        """
        lead, created = self.put(passed, behavior)
        activity = Activity(self._new_id(), "Lead Capture", at)
        lead.activities.append(activity)
        return {"Id": activity.id, "RelatedId": lead.id, "IsCreated": created}

    def put(self, passed: dict[str, str], behavior: str | None = None) -> tuple[Lead, bool]:
        """Create or update the lead that `passed` describes; says whether it is new. Raises as `capture`."""
        self._check_names(passed)
        self._check_words(passed, behavior)
        search_by = passed.get("SearchBy")
        values = {name: value for name, value in passed.items() if name != "SearchBy"}
        lead = self._match(values, search_by)
        if lead is None:
            return self._create(values), True
        self._update(lead, values, behavior, search_by)
        return lead, False

    def update(self, lead_id: str, passed: dict[str, str], *, posted: bool = False) -> dict[str, int]:
        """Change what is passed of a lead, and nothing else.

        Raises ApplicationError for unknown attributes, an unknown lead, and a value that another lead has of
        a unique attribute.
        """
        self._check_names(passed)
        lead = self.leads.get(lead_id.lower())
        if lead is None:
            raise ApplicationError("MXInvalidInputException", "The lead does not exist.")
        values = {name: value for name, value in passed.items() if name != "SearchBy"}
        self._update(lead, values, None, None)
        lead.posted_updates += posted
        return {"AffectedRows": 1}

    def duplicates(self) -> int:
        """How many leads are not the first with their e-mail address, else phone, else attributes."""
        people = {
            attributes.get("EmailAddress", "").casefold()
            or self._alike("Phone", attributes.get("Phone", ""))
            or tuple(sorted((name, value) for name, value in attributes.items() if name != "ProspectID"))
            for attributes in (lead.attributes for lead in self.leads.values())
        }
        return len(self.leads) - len(people)

    def _check_names(self, passed: dict[str, str]) -> None:
        if self._schema_names is None:
            return
        names = dict.fromkeys(name.partition(".")[0] for name in passed)
        if unknown := [name for name in names if name not in self._schema_names]:
            message = f"Attribute(s) does not exist - {', '.join(unknown)}."
            raise ApplicationError("MXUnknownAttributeException", message)

    def _check_words(self, passed: dict[str, str], behavior: str | None) -> None:
        if behavior and behavior not in BEHAVIORS:
            raise ApplicationError("MXInvalidInputException", "Invalid LeadUpdateBehavior value provided")
        search_by = passed.get("SearchBy")
        if search_by is None:
            return
        searchable = search_by in IDENTITY or search_by == "ProspectId" or search_by.startswith("mx_")
        attribute = "ProspectID" if search_by == "ProspectId" else search_by
        if not searchable or not passed.get(attribute):
            raise ApplicationError("MXInvalidInputException", "Invalid SearchBy value provided")

    def _match(self, values: dict[str, str], search_by: str | None) -> Lead | None:
        prospect_id, email, phone = (values.get(name) for name in ("ProspectID", "EmailAddress", "Phone"))
        if search_by and not (prospect_id and email and phone):
            if search_by == "ProspectId":
                found = self.leads.get(values["ProspectID"].lower())
            else:
                found = self._find(search_by, values[search_by])
            if found is not None:
                return found
        if prospect_id and (known := self.leads.get(prospect_id.lower())) is not None:
            theirs = known.attributes.get("EmailAddress")
            differs = email and theirs and email.casefold() != theirs.casefold()
            return None if differs else known
        found = self._find("EmailAddress", email) if email else None
        if found is None and phone:
            found = self._find("Phone", phone)
        return found

    def _create(self, values: dict[str, str]) -> Lead:
        if missing := sorted(name for name in self._mandatory if not values.get(name)):
            message = f"Mandatory attribute(s) missing - {', '.join(missing)}."
            raise ApplicationError("MXMandatoryAttributeMissingException", message)
        self._check_unique(None, values)
        asked = values.get("ProspectID", "").lower()
        lead = Lead(asked if asked and asked not in self.leads else self._new_id())
        self.leads[lead.id] = lead
        for name, value in values.items():
            self._set(lead, name, value)
        self._set(lead, "ProspectID", lead.id)
        return lead

    def _update(
        self, lead: Lead, values: dict[str, str], behavior: str | None, search_by: str | None
    ) -> None:
        kept = {"ProspectID"}
        match behavior:
            case "DoNotUpdate":
                return
            case "UpdateOnlyEmptyFields":
                kept |= {name for name in values if lead.attributes.get(name)}
            case "DoNotUpdateUniqueFields":
                kept |= {*IDENTITY, *self._unique, search_by or ""}
            case _:
                pass
        changed = {name: value for name, value in values.items() if name not in kept}
        self._check_unique(lead, changed)
        for name, value in changed.items():
            self._set(lead, name, value)

    def _check_unique(self, lead: Lead | None, values: dict[str, str]) -> None:
        """Refuse what would leave two leads with the same value of a unique attribute."""
        for name, display in self._unique.items():
            found = self._find(name, value) if (value := values.get(name)) else None
            if found is not None and found is not lead:
                message = f"A Lead with same {display} already exists."
                raise ApplicationError("MXDuplicateEntryException", message)

    def _set(self, lead: Lead, name: str, value: str) -> None:
        index = self._indexes.get(name)
        if index is not None:
            index.get(self._alike(name, lead.attributes.get(name, "")), {}).pop(lead.id, None)
            index.setdefault(self._alike(name, value), {})[lead.id] = lead
        lead.attributes[name] = value

    def _find(self, name: str, value: str) -> Lead | None:
        """The oldest lead with this value; an attribute is indexed when it is first searched for."""
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = {}
            for lead in self.leads.values():
                index.setdefault(self._alike(name, lead.attributes.get(name, "")), {})[lead.id] = lead
        return next(iter(index.get(self._alike(name, value), {}).values()), None)

    def _alike(self, name: str, value: str) -> str:
        """What two values of an attribute have in common when they match."""
        if name == "EmailAddress":
            return value.casefold()
        if self._by_digits and name in PHONES:
            return "".join(filter(str.isdigit, value)) or value
        return value


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
