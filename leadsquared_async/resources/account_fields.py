"""`lsq.fields`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leadsquared_async.errors import ConfigurationError, Fault, InvalidLead, Scope
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.resources.submit import Resource
from leadsquared_async.value_text import type_name

if TYPE_CHECKING:
    from leadsquared_async.fields import FieldChecker, FieldProblem, LeadField

__all__ = ["Fields"]


class Fields(Resource):
    """The account's lead fields, by schema name."""

    @without_locals
    async def list(self) -> tuple[LeadField, ...]:
        """All fields, in LeadSquared's order; cached for an hour.

        Example:
            names = [field.schema_name for field in await lsq.fields.list()]

        Raises:
            LeadSquaredError: the call failed; ConfigurationError if no synchronous host is known.
        """
        return tuple((await self._current()).fields.values())

    @without_locals
    async def get(self, schema_name: str) -> LeadField:
        """The field `schema_name`.

        Example:
            options = (await lsq.fields.get("mx_City")).options

        Raises:
            ConfigurationError: the field does not exist; the message suggests a similar one.
            LeadSquaredError: the call failed.
        """
        await self.require(schema_name)
        return (await self._current()).fields[schema_name]

    @without_locals
    async def check(self, lead: Mapping[str, Any], *, partial: bool = False) -> tuple[FieldProblem, ...]:
        """The problems for which LeadSquared would reject a lead.

        Example:
            problems = await lsq.fields.check({"mx_Town": "Pune"})

        Args:
            lead: schema name to value, as for `leads.capture`.
            partial: whether it updates an existing lead, so that no field is mandatory; the same holds for a
                lead with SearchBy or a ProspectID, which may exist.

        Raises:
            LeadSquaredError: the call for the fields failed.
        """
        if not isinstance(lead, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(f"a lead is a mapping from schema name to value, not {type_name(lead)}.")
        return (await self._current()).check(lead, partial=partial)

    @without_locals
    async def require(self, *schema_names: str) -> None:
        """Check that the account has all of `schema_names`, for the start of a program.

        Example:
            await lsq.fields.require("EmailAddress", "mx_City")

        Raises:
            ConfigurationError: some are missing; the message names them, with similar names.
            LeadSquaredError: the call for the fields failed.
        """
        checker = await self._current()
        missing = [name for name in schema_names if name not in checker.fields]
        if missing:
            named = ", ".join(
                f"{name} (did you mean {near}?)" if (near := checker.nearest(name)) else name
                for name in missing
            )
            raise ConfigurationError(
                f"this account has no lead field {named}; LeadSquared shows schema names under Settings > "
                "Leads > Lead Fields",
                fault=Fault.ACCOUNT,
                scope=Scope.OPERATION,
                operation="fields.require",
            )

    async def _current(self) -> FieldChecker:
        return await self._parts.fields.current(self._parts.sender.settings.deadline)
