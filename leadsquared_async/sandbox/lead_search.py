"""The sandbox's calls that find a lead by its e-mail address, phone number or id, on the synchronous host.

They see what the processing queues have processed (https://apidocs.leadsquared.com/get-lead-by-phone/ and the
pages of the other two).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from leadsquared_async.sandbox.answers import MalformedError, Reply, json_reply
from leadsquared_async.sandbox.records import Lead, Records

FINDERS: Mapping[str, str] = {
    "lead-by-email": "emailaddress",
    "lead-by-phone": "phone",
    "lead-by-id": "id",
}
"""The query parameter of each call, by the call's name."""


def find_lead(
    name: str, query: Mapping[str, str], records: Records, moment: Callable[[float], datetime]
) -> Reply:
    """An array of the lead, or an empty one; `moment` is the date of a time on the queues' clock."""
    value = query.get(FINDERS[name], "")
    if not value:
        raise MalformedError(f"{FINDERS[name]} is missing")
    match name:
        case "lead-by-email":
            lead = records.find("EmailAddress", value)
        case "lead-by-id":
            lead = records.leads.get(value.lower())
        case _:
            lead = _by_phone(value, records)
    return json_reply(200, [] if lead is None else [_shown(lead, moment)])


def _by_phone(number: str, records: Records) -> Lead | None:
    """The lead with the number, with or without country code; of several the one with the latest activity."""
    found = [
        lead
        for lead in records.leads.values()
        if any(number in _spellings(lead.attributes.get(name, "")) for name in ("Phone", "Mobile"))
    ]
    return max(found, key=lambda lead: max((it.at for it in lead.activities), default=0.0), default=None)


def _spellings(number: str) -> set[str]:
    """The digits of +91-9988776655, with and without the country code."""
    return {re.sub(r"\D", "", part) for part in (number, re.sub(r"^\+\d+-", "", number))} - {""}


def _shown(lead: Lead, moment: Callable[[float], datetime]) -> dict[str, object]:
    """LeadSquared's object for a lead: text or null by schema name. A custom field set is left out."""
    attributes = {name: value or None for name, value in lead.attributes.items() if "." not in name}
    dates = {"CreatedOn": _date(moment(lead.created_at)), "ModifiedOn": _date(moment(lead.modified_at))}
    return {"ProspectID": lead.id, **attributes, **dates}


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"
