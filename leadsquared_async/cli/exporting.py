"""`leadsquared outbox export`: rows with their values, for their owner."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, Literal, TextIO

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.exits import CommandFailedError, ExitStatus
from leadsquared_async.cli.files.private_files import Draft, files_of, open_private
from leadsquared_async.cli.files.sheets import sheet
from leadsquared_async.cli.outboxes import check_files, row_of
from leadsquared_async.cli.terminal import Terminal, counted
from leadsquared_async.printable import one_line

__all__ = ["Form", "run_export"]

Form = Literal["jsonl", "csv"]
BEGINS = (b'{"file": ', b"file,id,state,")
"""How what it writes begins, in either form."""


def run_export(
    files: Sequence[Path],
    state: ItemState | None,
    out: Path | None,
    form: Form,
    terminal: Terminal,
    *,
    verbatim: bool = False,
) -> ExitStatus:
    """Write rows with their values into a private file, or to standard output unless that is a terminal.

    Args:
        files: the outboxes.
        state: of the rows; None for all.
        out: the file to write; None for standard output.
        form: JSON lines or CSV.
        terminal: says how many rows it were.
        verbatim: whether CSV cells are written as they are, also those that a spreadsheet runs as formulas.

    Raises:
        CommandFailedError, OutboxError: a file is not there, or no outbox.
        OSError: the file cannot be written.
    """
    check_files(files)
    if out is None and sys.stdout.isatty():
        raise CommandFailedError("rows hold personal data, and this is a terminal; pass --out FILE or a pipe")
    with ExitStack() as stack:
        draft = None
        if out is not None:
            draft = stack.enter_context(Draft(out, others=files_of(files), begins=BEGINS))
        if draft is None:
            written = asyncio.run(_export(files, state, form, sys.stdout, verbatim=verbatim))
        else:
            with os.fdopen(open_private(draft.part), "w", encoding="utf-8", newline="") as file:
                written = asyncio.run(_export(files, state, form, file, verbatim=verbatim))
            draft.place()
            terminal.result(
                f"{counted(written, 'row')} in {one_line(out)}", {"rows": written, "out": str(out)}
            )
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
    """A field set, or the fields of an activity, have no place in a cell but as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
