"""`leadsquared fields`: the account's lead fields, for people, programs and other commands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.stopping import run_until_stopped
from leadsquared_async.cli.terminal import Terminal, plain_table
from leadsquared_async.fields import FieldChecker, LeadField
from leadsquared_async.printable import one_line

__all__ = ["NO_SYNC_HOST", "fields"]

NO_SYNC_HOST = (
    "no synchronous host is known: pass --region, or set LEADSQUARED_REGION, or LEADSQUARED_SYNC_HOST beside "
    "LEADSQUARED_HOST"
)
HEADINGS = ("Schema name", "Display name", "Type", "Mandatory", "Length", "Options")


def fields(
    connection: Connection,
    terminal: Terminal,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Schema names of fields to show in detail.")
    ] = None,
) -> ExitStatus:
    """Show the lead fields of the account, or some of them in detail.

    Exits with 2 if a field does not exist.

    Example: leadsquared fields ProspectStage mx_City
    """
    if not connection.has_sync_host:
        raise CommandFailedError(NO_SYNC_HOST)

    async def ask() -> FieldChecker:
        async with connection.client(quick=True) as lsq:
            return FieldChecker(await lsq.fields.list())

    checker = run_until_stopped(ask())
    _check_names(names or (), checker)
    found = [checker.fields[name] for name in dict.fromkeys(names or ())] or list(checker.fields.values())
    data = {"fields": [_data(field) for field in found]}
    if names:
        terminal.result("\n\n".join(map(_detail, found)), data)
    else:
        terminal.table(HEADINGS, list(map(_cells, found)), data)
    return ExitStatus.DONE


def _check_names(names: Iterable[str], checker: FieldChecker) -> None:
    unknown = [name for name in names if name not in checker.fields]
    if unknown:
        said = "; ".join(
            f"{one_line(name, 100)}" + (f", did you mean {near}?" if (near := checker.nearest(name)) else "")
            for name in unknown
        )
        raise CommandFailedError(f"this account has no such lead field: {said}")


def _cells(field: LeadField) -> tuple[str, ...]:
    return (
        one_line(field.schema_name, 100),
        one_line(field.display_name, 40),
        one_line(field.data_type, 100),
        "yes" if field.is_mandatory else "",
        "" if field.max_length is None else str(field.max_length),
        str(len(field.options)) if field.options else "",
    )


def _detail(field: LeadField) -> str:
    facts = {
        "display name": field.display_name,
        "type": field.data_type,
        "shown as": field.render_type,
        "mandatory": "yes" if field.is_mandatory else "no",
        "length": "" if field.max_length is None else f"{field.max_length:,} at most",
        "least": "" if field.range_min is None else f"{field.range_min:f}",
        "largest": "" if field.range_max is None else f"{field.range_max:f}",
        "default": field.default_value or "",
        "locked": "once the lead is there" if field.lock_after_create else "",
        "options": "" if not field.options else f"{len(field.options):,}",
    }
    lines = [(f"  {name}", one_line(said, 100)) for name, said in facts.items() if said]
    options = [f"    {one_line(option, 100)}" for option in field.options]
    return "\n".join((one_line(field.schema_name, 100), plain_table(lines), *options))


def _data(field: LeadField) -> dict[str, Any]:
    ranges = {"range_min": field.range_min, "range_max": field.range_max}
    return {
        **asdict(field),
        "options": list(field.options),
        **{name: None if number is None else f"{number:f}" for name, number in ranges.items()},
    }
