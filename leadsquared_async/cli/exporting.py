"""`leadsquared outbox export`: the rows of outboxes with their values."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.files.private_files import Draft, files_of, open_private
from leadsquared_async.cli.files.sheets import sheet
from leadsquared_async.cli.options import OutboxFiles, option
from leadsquared_async.cli.outboxes import State, check_files, row_of
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.printable import one_line

__all__ = ["export"]

Form = Literal["jsonl", "csv"]
BEGINS = (b'{"file": ', b"file,id,state,")
"""The first bytes of an export, in either format."""


def export(
    files: OutboxFiles,
    terminal: Terminal,
    state: State = None,
    form: Annotated[Form, option("--format", "JSON lines or CSV.")] = "jsonl",
    out: Annotated[Path | None, option("--out FILE", "Private to you; by default standard output.")] = None,
    verbatim: Annotated[
        bool,
        option(
            "--verbatim",
            "Write CSV cells unchanged. By default, cells that a spreadsheet would run as formulas "
            "get a leading '.",
        ),
    ] = False,
) -> ExitStatus:
    """Write rows with their values, keys and reasons: personal data.

    Example: leadsquared outbox export leads.csv.outbox --state rejected --out rejected.jsonl
    """
    check_files(files)
    if out is None and sys.stdout.isatty():
        raise CommandFailedError("rows hold personal data, and this is a terminal; pass --out FILE or a pipe")
    with ExitStack() as stack:
        if out is None:
            given: object = sys.stdout
            if isinstance(given, TextIOWrapper):  # as a file of --out, in any locale
                given.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
            asyncio.run(_export(files, state, form, sys.stdout, verbatim=verbatim))
            return ExitStatus.DONE
        draft = stack.enter_context(Draft(out, others=files_of(files), begins=BEGINS))
        with open_private(draft.part) as file:
            written = asyncio.run(_export(files, state, form, file, verbatim=verbatim))
        out = draft.place()
    terminal.result(f"{counted(written, 'row')} in {one_line(out)}", {"rows": written, "out": str(out)})
    return ExitStatus.DONE


async def _rows(
    files: Sequence[Path], state: ItemState | None
) -> AsyncGenerator[tuple[dict[str, Any], OutboxItem]]:
    for path in files:
        async with Outbox(path) as outbox:
            async for item in outbox.items(state):
                row = {**row_of(path, item), "key": item.key, "reason": item.reason}
                yield row, item


async def _export(
    files: Sequence[Path], state: ItemState | None, form: Form, file: TextIO, *, verbatim: bool
) -> int:
    written = 0
    if form == "jsonl":
        async with aclosing(_rows(files, state)) as found:
            async for row, item in found:
                values = {"lead": item.lead, "details": item.details}
                file.write(json.dumps({**row, **values}, ensure_ascii=False) + "\n")
                written += 1
        return written
    attributes = dict.fromkeys([name async for _, item in _rows(files, state) for name in _values(item)])
    write = sheet(file, verbatim=verbatim)
    async with aclosing(_rows(files, state)) as found:
        async for row, item in found:
            if not written:
                write([*row, *attributes])
            cells = [_cell(_values(item).get(name)) for name in attributes]
            known = [
                one_line(value) if isinstance(value, str) and not verbatim else value
                for value in row.values()
            ]
            write([*known, *cells])
            written += 1
    return written


def _values(item: OutboxItem) -> dict[str, Any]:
    return {**(item.details or {}), **(item.lead or {})}


def _cell(value: object) -> str:
    """The text of a cell; field sets become JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
