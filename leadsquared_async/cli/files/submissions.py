"""The objects of a file of JSON into submissions of one operation, or refusals that name line and field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from leadsquared_async import ConfigurationError, InvalidLead, Submission
from leadsquared_async.cli.files.json_rows import is_array, is_object
from leadsquared_async.cli.files.mapping import LONGEST_KEY, SCHEMA_NAME
from leadsquared_async.cli.files.rows import REASON, Row, Unreadable
from leadsquared_async.cli.files.source import Input, Line, Reading
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.encoding import encode
from leadsquared_async.operations import Operation

__all__ = ["Submissions"]

SENT = ("lead", "search_by", "details", "query", "suffix")
FIELDS = (*SENT, "key", "reference")


class _UnfitError(ValueError):
    """An object that is no submission; its text names the field and shows no value."""


class Submissions(Input):
    """An input whose rows make submissions of one operation.

    A row is an object with any of `FIELDS`: those of `Submission`, with LeadSquared's own names inside, and
    the key. Without a key it is known by all that is sent of it. Reasons in a file of rejects are ignored.

    Args:
        path: of the file; "-" for standard input.
        operation: that they are submitted to.
        host: that they go to, since a trial run elsewhere says nothing about this one.
        folder: for the copy.
        stop: breaks off the reading.

    Raises:
        As `Input` does.
    """

    def __init__(
        self, path: str, operation: Operation, *, host: str, folder: Path | None, stop: Stop
    ) -> None:
        self._operation = operation
        self._host = host
        super().__init__(path, Reading(), folder=folder, stop=stop)

    def entry(self, line: Line) -> Submission:
        """What goes into the outbox for a line that is not refused."""
        submission = _submission(self._operation, line.row.cells)
        reference = submission.reference or self.reference(line)
        return replace(submission, key=line.key, reference=reference)

    def _check_table(self, table: Table) -> None:
        if table.columns is not None:
            raise Unreadable('this is no JSON; write an object such as {"details": {...}} in each line')

    def _line(self, row: Row) -> Line:
        try:
            encode(_submission(self._operation, row.cells))
            key = self._key(row.cells)
        except (_UnfitError, InvalidLead, ConfigurationError) as error:
            return Line(row, None, None, f"line {row.line}: {error}")
        return Line(row, None, key, None)

    def _key(self, cells: Mapping[str, Any]) -> str:
        given = _text(cells, "key")
        if given is not None:
            return given
        sent = {name: cells.get(name) for name in SENT}
        text = json.dumps(
            [self._operation.name, sent, self._host], sort_keys=True, default=_canonical, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()


def _submission(operation: Operation, cells: Mapping[str, Any]) -> Submission:
    for position, name in enumerate(cells, start=1):
        if name not in FIELDS and name != REASON:
            shown = name if SCHEMA_NAME.fullmatch(name) else f"field {position}"
            raise _UnfitError(f"{shown}: a submission has {', '.join(FIELDS)}, and nothing else")
    lead, details = _object(cells, "lead"), _object(cells, "details")
    if lead is None and details is None:
        raise _UnfitError("lead or details: one of them has to be there")
    if operation.envelope and (lead is None or details is None):
        missing = "lead" if lead is None else "details"
        raise _UnfitError(f"{missing}: {operation.name} needs a lead and details")
    if operation.integers and details is None:
        raise _UnfitError(
            f"details: {operation.name} needs them, with {', '.join(sorted(operation.integers))}"
        )
    query = _object(cells, "query") or {}
    if not all(isinstance(value, str | None) for value in query.values()):
        raise _UnfitError('query: its values are texts, such as "true"')
    suffix: object = cells.get("suffix") or []
    if not is_array(suffix) or not all(isinstance(part, str) for part in suffix):
        raise _UnfitError("suffix: a list of texts")
    return Submission(
        operation=operation,
        lead=lead,
        search_by=_text(cells, "search_by"),
        details=details,
        query=query,
        suffix=tuple(suffix),
        reference=_text(cells, "reference"),
    )


def _object(cells: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = cells.get(name)
    if value is None or is_object(value):
        return value
    raise _UnfitError(f"{name}: an object from name to value")


def _text(cells: Mapping[str, Any], name: str) -> str | None:
    """A text of a bearable length, or nothing."""
    value = cells.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
        raise _UnfitError(f"{name}: a text of 1 to {LONGEST_KEY} characters")
    return value


def _canonical(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a file of JSON holds no {type(value).__name__}")
