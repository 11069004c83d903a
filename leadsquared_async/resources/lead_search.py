"""`lsq.leads.find`: a lead as LeadSquared has it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from leadsquared_async.errors import ConfigurationError
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import field_of, id_in
from leadsquared_async.operations import LEAD_BY, Idempotency
from leadsquared_async.protocol import ExpectedBody
from leadsquared_async.value_text import is_uuid, type_name

if TYPE_CHECKING:
    from uuid import UUID  # slow to import

__all__ = ["FIND", "FoundLead", "find"]

FIND = "leads.find"
LONGEST = 1000
"""Characters of a value to look for."""


@dataclass(frozen=True, slots=True)
class FoundLead:
    """A lead as LeadSquared has it; its repr shows no personal data.

    Attributes:
        id: its ProspectID.
        fields: schema name to value, all that LeadSquared answers: text, or None; personal data.
        created_at: its CreatedOn, in UTC.
        modified_at: its ModifiedOn, in UTC.
    """

    id: str
    fields: Mapping[str, Any] = field(repr=False)
    created_at: datetime | None = None
    modified_at: datetime | None = None


async def find(
    sender: Sender, email: str | None, phone: str | None, lead_id: str | UUID | None
) -> FoundLead | None:
    """The lead with this e-mail address, phone number or id; the caller must be `without_locals`.

    Raises:
        ConfigurationError: not exactly one of them is given, or it cannot be looked for.
        LeadSquaredError: the call failed.
    """
    given = {"email": email, "phone": phone, "id": str(lead_id) if is_uuid(lead_id) else lead_id}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigurationError("leads.find takes one of email=, phone= and id=", operation=FIND)
    value = _checked(named[0], given[named[0]])
    path, parameter = LEAD_BY[named[0]]
    call = Call(
        operation=FIND,
        method="GET",
        path=path.text,
        query=((parameter, value),),
        host=Host.SYNC,
        expect=ExpectedBody.JSON,
        repeat=Idempotency.READ,
        lane=sender.lane(None, Lane.INTERACTIVE),
    )
    sent = await sender.send(call)
    data = sent.outcome.data
    leads = cast("list[object]", data) if isinstance(data, list) else [data]
    if not leads:
        return None
    found = _lead(leads[0])
    if found is None:
        raise sent.without("lead", FIND)
    return found


def _checked(name: str, value: object) -> str:
    """The value as it is sent. LeadSquared finds a phone number by its digits only (its page)."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string, not {type_name(value)}", operation=FIND)
    text = value.strip()
    if name == "phone":
        text = "".join(filter(str.isnumeric, text))
        if not text.isascii():  # what is left without them may be the number of another lead
            raise ConfigurationError("phone must have digits from 0 to 9 only", operation=FIND)
    if not text or not text.isprintable() or len(text) > LONGEST:
        raise ConfigurationError(f"{name} must be one line of text with a value to look for", operation=FIND)
    return text


def _lead(data: object) -> FoundLead | None:
    lead_id = id_in(field_of(data, "ProspectID"))
    if lead_id is None:  # also if the data is no object
        return None
    created, modified = (_date(field_of(data, name)) for name in ("CreatedOn", "ModifiedOn"))
    return FoundLead(lead_id, cast("dict[str, Any]", data), created, modified)


def _date(value: object) -> datetime | None:
    """LeadSquared's 2026-01-31 09:30:00.000, which is UTC, as is any date that names no other offset."""
    try:
        date = datetime.fromisoformat(value) if isinstance(value, str) else None
        return date if date is None else (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
