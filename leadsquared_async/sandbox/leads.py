"""The leads of an account, and what a capture does to them.

The rules are those of https://apidocs.leadsquared.com/capture-lead/.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from leadsquared_async.sandbox.answers import ApplicationError

UNIQUE = frozenset({"EmailAddress", "Phone", "Mobile"})
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
    at: float
    """Seconds on the processing queue's clock."""


@dataclass(slots=True)
class Lead:
    """One lead; its repr shows the id only."""

    id: str
    attributes: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """By schema name; an entry of a custom field set is `mx_Set.Entry`."""
    activities: list[Activity] = field(default_factory=list[Activity], repr=False)


class LeadStore:
    """The leads of an account, by id and by what they are searched for."""

    def __init__(self, new_id: Callable[[], str], schema_names: Iterable[str] | None = None) -> None:
        self.leads: dict[str, Lead] = {}
        self._new_id = new_id
        self._schema_names = None if schema_names is None else {*schema_names, "ProspectID", "SearchBy"}
        self._indexes: dict[str, dict[str, dict[str, Lead]]] = {}

    def capture(self, passed: dict[str, str], behavior: str | None, at: float) -> Captured:
        """Create or update the lead that `passed` describes, and note a Lead Capture activity on it.

        Raises ApplicationError for unknown attributes, a SearchBy that cannot be searched for and an unknown
        behavior.
        """
        self._check(passed, behavior)
        search_by = passed.get("SearchBy")
        values = {name: value for name, value in passed.items() if name != "SearchBy"}
        lead = self._match(values, search_by)
        created = lead is None
        if lead is None:
            lead = self._create(values)
        else:
            self._update(lead, values, behavior, search_by)
        activity = Activity(self._new_id(), "Lead Capture", at)
        lead.activities.append(activity)
        return {"Id": activity.id, "RelatedId": lead.id, "IsCreated": created}

    def duplicates(self) -> int:
        """How many leads are not the first with their e-mail address, else phone, else attributes."""
        people = {
            attributes.get("EmailAddress", "").casefold()
            or attributes.get("Phone")
            or tuple(sorted((name, value) for name, value in attributes.items() if name != "ProspectID"))
            for attributes in (lead.attributes for lead in self.leads.values())
        }
        return len(self.leads) - len(people)

    def _check(self, passed: dict[str, str], behavior: str | None) -> None:
        if self._schema_names is not None:
            names = dict.fromkeys(name.partition(".")[0] for name in passed)
            if unknown := [name for name in names if name not in self._schema_names]:
                message = f"Attribute(s) does not exist - {', '.join(unknown)}."
                raise ApplicationError("MXUnknownAttributeException", message)
        if behavior and behavior not in BEHAVIORS:
            raise ApplicationError("MXInvalidInputException", "Invalid LeadUpdateBehavior value provided")
        search_by = passed.get("SearchBy")
        if search_by is None:
            return
        searchable = search_by in UNIQUE or search_by == "ProspectId" or search_by.startswith("mx_")
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
            differs = bool(email and theirs) and _alike("EmailAddress", email or "") != _alike(
                "EmailAddress", theirs or ""
            )
            return None if differs else known
        found = self._find("EmailAddress", email) if email else None
        if found is None and phone:
            found = self._find("Phone", phone)
        return found

    def _create(self, values: dict[str, str]) -> Lead:
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
        if behavior == "DoNotUpdate":
            return
        for name, value in values.items():
            if name == "ProspectID":
                continue
            if behavior == "UpdateOnlyEmptyFields" and lead.attributes.get(name):
                continue
            if behavior == "DoNotUpdateUniqueFields" and (name in UNIQUE or name == search_by):
                continue
            self._set(lead, name, value)

    def _set(self, lead: Lead, name: str, value: str) -> None:
        index = self._indexes.get(name)
        if index is not None:
            index.get(_alike(name, lead.attributes.get(name, "")), {}).pop(lead.id, None)
            index.setdefault(_alike(name, value), {})[lead.id] = lead
        lead.attributes[name] = value

    def _find(self, name: str, value: str) -> Lead | None:
        """The oldest lead with this value; an attribute is indexed when it is first searched for."""
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = {}
            for lead in self.leads.values():
                index.setdefault(_alike(name, lead.attributes.get(name, "")), {})[lead.id] = lead
        return next(iter(index.get(_alike(name, value), {}).values()), None)


def _alike(name: str, value: str) -> str:
    return value.casefold() if name == "EmailAddress" else value
