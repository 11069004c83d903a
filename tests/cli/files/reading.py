"""Files for tests, from their content."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async.cli.files.rows import Row, Unreadable
from leadsquared_async.cli.files.tables import Reading, Table
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import Finished, run, with_fields

SECRET = "zq-private-4711"


opened: list[Table] = []
"""To be closed at the end of a test."""


def table_of(content: str | bytes, *, name: str = "leads.csv", **options: Any) -> Table:
    """Open a file with this content; it is deleted at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        opened.append(Table(str(path), Reading(**options)))
    return opened[-1]


def rows_in(content: str | bytes, **options: Any) -> list[Row]:
    """All rows of a file with this content."""
    with table_of(content, **options) as table:
        return list(table)


def read(content: str | bytes, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    """The line of each row, and its cells; no row has a flaw."""
    rows = rows_in(content, **options)
    assert not [row.flaw for row in rows if row.flaw]
    return [(row.line, dict(zip(row.names, row.cells, strict=True))) for row in rows]


def flaws_in(content: str | bytes, **options: Any) -> list[tuple[int, str]]:
    """The line and the flaw of each refused row."""
    return [(row.line, row.flaw) for row in rows_in(content, **options) if row.flaw]


def refusal(content: str | bytes, **options: Any) -> Unreadable:
    """The error that refuses the file, from a line on or as a whole."""
    with pytest.raises(Unreadable) as caught:
        rows_in(content, **options)
    assert SECRET not in f"{caught.value} {caught.value!r}"
    return caught.value


class Files:
    """Runs a command on a file of this content."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder

    async def __call__(self, command: str, name: str, content: bytes | str, *options: str | Path) -> Finished:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return await run(command, path, *options, env=with_fields(self.sandbox))
