"""The stored data of an account: leads with their activities, opportunities and phone calls.

Leads are matched and updated by the rules in https://apidocs.leadsquared.com/capture-lead/.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from leadsquared_async.sandbox.answers import ApplicationError

IDENTITY = frozenset({"EmailAddress", "Phone", "Mobile"})
"""The fields that SearchBy accepts, besides the lead's id and custom fields."""

BEHAVIORS = frozenset({"DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"})


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity of a lead; its repr shows no personal data."""

    id: str = ""
    event: str = ""
    """`Lead Capture`, or the event code of a posted activity."""
    at: float = 0.0
    """Seconds on the processing queue's clock."""
    date: str = ""
    """ActivityDateTime as passed."""
    note: str = field(default="", repr=False)
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name; an entry of a custom field set is `mx_Set.Entry`."""
    flags: tuple[str, ...] = ()
    """The flags that it set, such as IncludeLeadScore; without effect here."""


@dataclass(slots=True)
class Lead:
    """A lead; its repr shows the id only."""

    id: str
    attributes: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name; an entry of a custom field set is `mx_Set.Entry`."""
    activities: list[Activity] = field(default_factory=list[Activity], repr=False)
    posted_updates: int = 0
    """How many updates requested automations with `postUpdatedLead=true`."""
    created_at: float = 0.0
    """Seconds on the processing queue's clock, like `modified_at`."""
    modified_at: float = 0.0


@dataclass(slots=True)
class Opportunity:
    """An opportunity; its repr shows no personal data."""

    id: str = ""
    lead_id: str = ""
    event_code: int = 0
    at: float = 0.0
    """Seconds on the processing queue's clock."""
    date: str = ""
    """OpportunityDateTime as passed."""
    note: str = field(default="", repr=False)
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name."""
    flags: tuple[str, ...] = ()
    """The flags that its capture set, such as DoNotChangeOwner."""
    auto_id: str = ""
    """The value of its AutoId field, by which it can be updated as well: OPP-1001, OPP-1002, ..."""


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """A phone call as logged; its repr shows neither the connector's key nor personal data."""

    id: str
    at: float
    """Seconds on the processing queue's clock."""
    connector_key: str = field(repr=False)
    instance: str | None
    """The GUID of a connector's instance, if the path has one."""
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the processing of a request has stored; its repr shows ids only."""

    message: Mapping[str, object]
    """The message of the request's status."""
    lead_id: str = ""
    """The lead that it created or changed; empty for a phone call."""
    matched_by: str = ""
    """The attribute by which the lead was found; empty for a new lead."""


class Records:
    """The stored data of an account.

    `schema_names` are the attributes that exist (None: all), `mandatory` those that a new lead must have, and
    `unique` those whose values must be unique, with their display names.

    Methods raise ApplicationError and change nothing if LeadSquared would fail the request in processing: an
    unknown attribute, a missing mandatory one, a duplicate value of a unique one, an unknown lead or
    opportunity, or an invalid parameter.
    """

    def __init__(
        self,
        new_id: Callable[[], str],
        schema_names: Iterable[str] | None = None,
        *,
        mandatory: Collection[str] = (),
        unique: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.leads: dict[str, Lead] = {}
        self.opportunities: dict[str, Opportunity] = {}
        self.calls: list[PhoneCall] = []
        self._new_id = new_id
        self._schema_names = None if schema_names is None else {*schema_names, "ProspectID", "SearchBy"}
        self._mandatory = mandatory
        self._unique = unique
        self._indexes: dict[str, dict[str, dict[str, Lead]]] = {}

    def capture(self, passed: dict[str, str], behavior: str | None, at: float) -> Stored:
        """Create or update the lead that `passed` describes, and add a Lead Capture activity to it."""
        return self.post_lead_and_activity(passed, Activity(event="Lead Capture"), at, behavior)

    def put_lead(self, passed: dict[str, str], at: float, behavior: str | None = None) -> tuple[Lead, str]:
        """Create or update the lead that `passed` describes.

        Return it, and the attribute by which it was found, or an empty string for a new lead.
        """
        self._check_names(passed)
        _check_parameters(passed, behavior)
        search_by = passed.get("SearchBy")
        values = {name: value for name, value in passed.items() if name != "SearchBy"}
        lead, matched_by = self._match(values, search_by)
        if lead is None:
            return self._create(values, at), ""
        self._update(lead, values, at, behavior, search_by)
        return lead, matched_by

    def update_lead(self, lead_id: str, passed: dict[str, str], at: float, *, posted: bool = False) -> Stored:
        """Change only the passed values of a lead."""
        self._check_names(passed)
        lead = self._existing(lead_id, "MXInvalidInputException")
        self._update(lead, {name: value for name, value in passed.items() if name != "SearchBy"}, at)
        lead.posted_updates += posted
        return Stored({"AffectedRows": 1}, lead.id, "ProspectID")

    def post_activity(self, lead_id: str, activity: Activity, at: float) -> Stored:
        """Add an activity to a lead."""
        lead = self._existing(lead_id, "MXUnknownProspectActivityException")
        return Stored({"Id": self._add_activity(lead, activity, at)}, lead.id, "ProspectID")

    def post_lead_and_activity(
        self, passed: dict[str, str], activity: Activity, at: float, behavior: str | None = None
    ) -> Stored:
        """Create or update a lead and add an activity to it."""
        lead, matched_by = self.put_lead(passed, at, behavior)
        message = {"Id": self._add_activity(lead, activity, at), "RelatedId": lead.id}
        return Stored({**message, "IsCreated": not matched_by}, lead.id, matched_by)

    def capture_opportunity(self, passed: dict[str, str], new: Opportunity, at: float) -> Stored:
        """Create or update a lead, and add an opportunity and the activity that always goes with it."""
        lead, matched_by = self.put_lead(passed, at)
        auto_id = f"OPP-{1001 + len(self.opportunities)}"
        opportunity = replace(
            new, id=self._new_id(), lead_id=lead.id, at=at, fields=dict(new.fields), auto_id=auto_id
        )
        self.opportunities[opportunity.id] = opportunity
        activity = Activity(event=str(new.event_code), date=new.date, note=new.note, fields=new.fields)
        self._add_activity(lead, activity, at)
        message = {"Id": opportunity.id, "RelatedId": lead.id, "IsCreated": not matched_by}
        return Stored(message, lead.id, matched_by)

    def update_opportunity(self, opportunity_id: str, note: str, fields: dict[str, str]) -> Stored:
        """Change the passed fields of an opportunity, and its note if `note` is not empty.

        It is found by its id or by the value of its AutoId field.
        """
        opportunity = self.opportunities.get(opportunity_id.lower()) or next(
            (each for each in self.opportunities.values() if each.auto_id == opportunity_id), None
        )
        if opportunity is None:
            raise ApplicationError("MXInvalidInputException", "The opportunity does not exist.")
        opportunity.note = note or opportunity.note
        opportunity.fields |= fields
        return Stored({"AffectedRows": 1}, opportunity.lead_id, "ProspectOpportunityId")

    def log_call(self, connector: tuple[str, ...], fields: dict[str, str], at: float) -> Stored:
        """Store a phone call; `connector` is its key and, optionally, the GUID of its instance."""
        key, *instance = connector
        call = PhoneCall(self._new_id(), at, key, instance[0] if instance else None, fields)
        self.calls.append(call)
        return Stored({"Id": call.id})

    def duplicates(self) -> int:
        """How many leads repeat the e-mail address, else the phone, else all attributes of an older one."""
        people = {
            attributes.get("EmailAddress", "").casefold()
            or attributes.get("Phone")
            or tuple(sorted((name, value) for name, value in attributes.items() if name != "ProspectID"))
            for attributes in (lead.attributes for lead in self.leads.values())
        }
        return len(self.leads) - len(people)

    def find(self, name: str, value: str) -> Lead | None:
        """The oldest lead with this value; the first search for an attribute builds its index."""
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = {}
            for lead in self.leads.values():
                index.setdefault(_folded(name, lead.attributes.get(name, "")), {})[lead.id] = lead
        return next(iter(index.get(_folded(name, value), {}).values()), None)

    def _existing(self, lead_id: str, exception_type: str) -> Lead:
        lead = self.leads.get(lead_id.lower())
        if lead is None:
            raise ApplicationError(exception_type, "The lead does not exist.")
        return lead

    def _add_activity(self, lead: Lead, activity: Activity, at: float) -> str:
        added = replace(activity, id=self._new_id(), at=at)
        lead.activities.append(added)
        return added.id

    def _check_names(self, passed: dict[str, str]) -> None:
        if self._schema_names is None:
            return
        names = dict.fromkeys(name.partition(".")[0] for name in passed)
        if unknown := [name for name in names if name not in self._schema_names]:
            message = f"Attribute(s) does not exist - {', '.join(unknown)}."
            raise ApplicationError("MXUnknownAttributeException", message)

    def _match(self, values: dict[str, str], search_by: str | None) -> tuple[Lead | None, str]:
        """The lead that the values describe, and the attribute by which it was found."""
        prospect_id, email, phone = (values.get(name) for name in ("ProspectID", "EmailAddress", "Phone"))
        known = self.leads.get(prospect_id.lower()) if prospect_id else None
        if search_by and not (prospect_id and email and phone):
            found = known if search_by == "ProspectId" else self.find(search_by, values[search_by])
            if found is not None:
                return found, "ProspectID" if search_by == "ProspectId" else search_by
        if known is not None:
            theirs = known.attributes.get("EmailAddress")
            differs = email and theirs and email.casefold() != theirs.casefold()
            return None if differs else known, "ProspectID"
        if email and (found := self.find("EmailAddress", email)) is not None:
            return found, "EmailAddress"
        return self.find("Phone", phone) if phone else None, "Phone"

    def _create(self, values: dict[str, str], at: float) -> Lead:
        if missing := sorted(name for name in self._mandatory if not values.get(name)):
            message = f"Mandatory attribute(s) missing - {', '.join(missing)}."
            raise ApplicationError("MXMandatoryAttributeMissingException", message)
        self._check_unique(None, values)
        asked = values.get("ProspectID", "").lower()
        lead_id = asked if asked and asked not in self.leads else self._new_id()
        lead = Lead(lead_id, created_at=at, modified_at=at)
        self.leads[lead.id] = lead
        for name, value in {**values, "ProspectID": lead.id}.items():
            self._set(lead, name, value)
        return lead

    def _update(
        self,
        lead: Lead,
        values: dict[str, str],
        at: float,
        behavior: str | None = None,
        search_by: str | None = None,
    ) -> None:
        kept = {"ProspectID"}
        if behavior == "DoNotUpdate":
            return
        if behavior == "UpdateOnlyEmptyFields":
            kept |= {name for name in values if lead.attributes.get(name)}
        elif behavior == "DoNotUpdateUniqueFields":
            kept |= {*IDENTITY, *self._unique, search_by or ""}
        changed = {name: value for name, value in values.items() if name not in kept}
        self._check_unique(lead, changed)
        lead.modified_at = at
        for name, value in changed.items():
            self._set(lead, name, value)

    def _check_unique(self, lead: Lead | None, values: dict[str, str]) -> None:
        for name, display in self._unique.items():
            found = self.find(name, value) if (value := values.get(name)) else None
            if found is not None and found is not lead:
                message = f"A Lead with same {display} already exists."
                raise ApplicationError("MXDuplicateEntryException", message)

    def _set(self, lead: Lead, name: str, value: str) -> None:
        index = self._indexes.get(name)
        if index is not None:
            index.get(_folded(name, lead.attributes.get(name, "")), {}).pop(lead.id, None)
            index.setdefault(_folded(name, value), {})[lead.id] = lead
        lead.attributes[name] = value


def _check_parameters(passed: dict[str, str], behavior: str | None) -> None:
    if behavior and behavior not in BEHAVIORS:
        raise ApplicationError("MXInvalidInputException", "Invalid LeadUpdateBehavior value provided")
    search_by = passed.get("SearchBy")
    if search_by is None:
        return
    is_searchable = search_by in IDENTITY or search_by == "ProspectId" or search_by.startswith("mx_")
    attribute = "ProspectID" if search_by == "ProspectId" else search_by
    if not is_searchable or not passed.get(attribute):
        raise ApplicationError("MXInvalidInputException", "Invalid SearchBy value provided")


def _folded(name: str, value: str) -> str:
    """The value for comparisons, which ignore the case of e-mail addresses."""
    return value.casefold() if name == "EmailAddress" else value
