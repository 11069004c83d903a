"""Make leads from the rows of any file, or one operation's submissions from JSON."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from leadsquared_async import ConfigurationError, InvalidLead, Submission
from leadsquared_async.attributes import SCHEMA_NAME, SEARCH_BY
from leadsquared_async.cli.files.cells import (
    ANY_FORMAT,
    PLACEHOLDER,
    SERIAL_DATE,
    date_format_of,
    is_serial_date,
)
from leadsquared_async.cli.files.headings import looks_like_a_value, plain_heading
from leadsquared_async.cli.files.json_rows import is_array, is_object
from leadsquared_async.cli.files.leads import LONGEST_KEY, Leads
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.rows import REASON, Flaw, Row, Unreadable
from leadsquared_async.cli.files.spool import Entry
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.encoding import encode
from leadsquared_async.fields import FieldChecker, FieldProblem, ProblemKind
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, LEADS_CAPTURE, Endpoint, Operation
from leadsquared_async.submissions import UpdateBehavior, bulk_lead, capture_lead

__all__ = ["LeadRows", "RowMaker", "SubmissionRows"]

NO_SEARCH_BY = "does not name an attribute that the row has, such as EmailAddress"
SENT = ("lead", "search_by", "details", "query", "suffix")
FIELDS = (*SENT, "key", "reference")


class RowMaker(ABC):
    """Makes the submission of each row of a file, for one operation."""

    operation: Endpoint
    has_own_keys: bool = True
    """Whether the user sets the keys, so that two leads may share one by mistake."""
    is_bulk: bool = False
    has_bulk: bool = False
    """Whether bulk calls, whose answers are outcomes, could send the rows."""
    is_checked: bool = False
    """Whether rows are checked against the account's lead fields."""
    spellings: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    """The patterns of each column's phone numbers, with their counts."""
    unrecognized: Mapping[str, int] = MappingProxyType({})
    """How many phone numbers of each attribute --phone did not recognize."""
    attributes: frozenset[str] = frozenset()
    """Schema names that messages may show."""

    @property
    def makes_leads(self) -> bool:
        """Whether each row creates or updates a lead."""
        return self.operation in {LEADS_CAPTURE, BULK_CREATE_OR_UPDATE}

    @abstractmethod
    def start(self, table: Table, checker: FieldChecker | None) -> None:
        """Start a file; raise if none of its rows could be sent."""

    @abstractmethod
    def make(self, row: Row, reference: str) -> Entry:
        """Make a row's entry; log lines show `reference`."""


class LeadRows(RowMaker):
    """Makes leads. Keys differ by host: delivery to a sandbox is not delivery to an account."""

    def __init__(
        self,
        mapping: LeadMapping,
        host: str,
        update_behavior: UpdateBehavior | None = None,
        *,
        bulk: bool = False,
        is_checked: bool = True,
    ) -> None:
        self.operation: Endpoint = BULK_CREATE_OR_UPDATE if bulk else LEADS_CAPTURE
        self.has_own_keys = mapping.key_column is not None
        self.is_bulk, self.has_bulk = bulk, not bulk and update_behavior is None
        self.is_checked = is_checked
        self._mapping = mapping
        self._update_behavior: UpdateBehavior | None = update_behavior
        self._partial = mapping.partial or mapping.search_by is not None
        # A capture posts an activity and a bulk row does not, so their keys differ.
        self._sent = {"update_behavior": update_behavior, "host": host, "bulk": "yes" if bulk else None}
        self._leads: Leads | None = None
        self._checker: FieldChecker | None = None

    def start(self, table: Table, checker: FieldChecker | None) -> None:
        names = (
            None if checker is None else {name: each.display_name for name, each in checker.fields.items()}
        )
        self._checker = checker
        self._leads = Leads(self._mapping, table.names, names, self._sent)
        self.attributes, self.spellings = self._leads.attributes, self._leads.spellings
        self.unrecognized = self._leads.unrecognized

    def make(self, row: Row, reference: str) -> Entry:
        assert self._leads is not None  # `start` was called
        made = self._leads.make(row)
        lead, flaws, submission = made.lead, made.flaws, None
        if self._checker is not None:
            flawed = {flaw.attribute for flaw in flaws}
            is_partial = self._partial or bool(flaws)  # a missing attribute may be one with a flaw
            for problem in self._checker.check(lead, partial=is_partial):
                if problem.attribute not in flawed:
                    flaws.append(self._flaw(problem, lead.get(problem.attribute)))
        try:
            if lead:
                submission = encode(replace(self._submission(lead), reference=reference))
        except InvalidLead as error:
            attribute = error.attribute or ""
            message = str(error).removeprefix(f"{attribute}: ")
            if attribute == SEARCH_BY and SEARCH_BY in lead:  # a cell of the file
                message = NO_SEARCH_BY
            if not flaws:
                flaws.append(Flaw("", message, attribute))
        return Entry(row, made.key, submission, tuple(flaws))

    def _flaw(self, problem: FieldProblem, value: object) -> Flaw:
        """The flaw of a field problem, with the options that help."""
        attribute, kind = problem.attribute, problem.kind
        message = _ADVICE.get(kind, problem.message.removeprefix(f"{attribute}: "))
        shown = nearest = None
        if kind is ProblemKind.UNKNOWN and is_object(value):
            message = PARTS.format(name=attribute)
        elif kind is ProblemKind.UNKNOWN and problem.suggestion is not None:
            message += f"; did you mean {problem.suggestion}?"
        elif kind is ProblemKind.NOT_A_DATE and is_serial_date(str(value)):
            message = SERIAL_DATE
        elif kind is ProblemKind.NOT_A_DATE:
            message = message.format(name=attribute, format=ANY_FORMAT)
            nearest = date_format_of(str(value))
        elif kind is ProblemKind.NO_OPTION and isinstance(value, str) and not looks_like_a_value(value):
            assert self._checker is not None
            shown, nearest = value, _nearest(value, self._checker.fields[attribute].options)
        return Flaw("", message, attribute, kind, shown, nearest)

    def _submission(self, lead: Mapping[str, Any]) -> Submission:
        search_by = self._mapping.search_by
        if self.is_bulk:
            return bulk_lead(lead, search_by=search_by)
        return capture_lead(lead, search_by=search_by, update_behavior=self._update_behavior)


PARTS = (
    "this account has no such field: pass --map {name}.PART=SCHEMA_NAME for each part of the object, or "
    "--ignore {name}"
)
_ADVICE = {
    ProblemKind.UNKNOWN: (
        "this account has no such field: --map the column to one that `leadsquared fields` shows, or "
        "--ignore it"
    ),
    ProblemKind.NOT_A_DATE: (
        "is not a date such as 2024-02-29 or 2024-02-29 13:05:00: pass --date {name} --date-format {format}"
    ),
    ProblemKind.NOT_A_PHONE: "is not a phone number: correct it, or empty it",
    ProblemKind.NOT_A_BOOLEAN: 'is neither true nor false: correct it, or pass --value "Column:Wrong=true"',
    ProblemKind.PLACEHOLDER: PLACEHOLDER,
}


@lru_cache(maxsize=1000)
def _nearest(value: str, options: tuple[str, ...]) -> str | None:
    """The option that is most similar to a value."""
    folded = {option.casefold(): option for option in reversed(options)}
    found = get_close_matches(value.strip().casefold(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None


class SubmissionRows(RowMaker):
    """Makes submissions of one operation.

    A row is an object with any of `FIELDS`: those of `Submission`, with LeadSquared's own names inside, and
    the key. Without one, the values that are sent identify a row. The reasons of rejects are ignored.
    """

    def __init__(self, operation: Operation, host: str) -> None:
        self.operation: Endpoint = operation
        self._host = host

    def start(self, table: Table, checker: FieldChecker | None) -> None:  # noqa: ARG002 - for leads only
        if table.names is not None:
            raise Unreadable('the file is a table: write an object such as {"details": {...}} on each line')

    def make(self, row: Row, reference: str) -> Entry:
        cells = dict(zip(row.names, row.cells, strict=True))
        try:
            submission = _submission(self.operation, cells)
            encoded = encode(replace(submission, reference=submission.reference or reference))
            return Entry(row, self._key(cells), encoded)
        except (_InvalidObjectError, InvalidLead, ConfigurationError) as error:
            return Entry(row, None, None, (Flaw("", str(error)),))

    def _key(self, cells: Mapping[str, Any]) -> str:
        given = _text(cells, "key")
        if given is not None:
            return given
        sent = {name: cells.get(name) for name in SENT}
        text = json.dumps(
            [self.operation.name, sent, self._host], sort_keys=True, default=str, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()


class _InvalidObjectError(ValueError):
    """An object is not a submission; the message names the field and shows no value."""


def _submission(operation: Endpoint, cells: Mapping[str, Any]) -> Submission:
    for position, name in enumerate(cells, start=1):
        if name not in FIELDS and plain_heading(name) != REASON:
            shown = name if SCHEMA_NAME.fullmatch(name) else f"field {position}"
            raise _InvalidObjectError(f"{shown}: unknown field; a submission has {', '.join(FIELDS)}")
    query = _object(cells, "query") or {}
    if not all(isinstance(value, str | None) for value in query.values()):
        raise _InvalidObjectError('query: its values must be strings, such as "true"')
    suffix: object = cells.get("suffix") or []
    if not is_array(suffix) or not all(isinstance(part, str) for part in suffix):
        raise _InvalidObjectError("suffix: must be a list of strings")
    return Submission(
        operation=operation,
        lead=_object(cells, "lead"),
        search_by=_text(cells, "search_by"),
        details=_object(cells, "details"),
        query=query,
        suffix=tuple(suffix),
        reference=_text(cells, "reference"),
    )


def _object(cells: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = cells.get(name)
    if value is None or is_object(value):
        return value
    raise _InvalidObjectError(f"{name}: must be an object of names and values")


def _text(cells: Mapping[str, Any], name: str) -> str | None:
    value = cells.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and 0 < len(value) <= LONGEST_KEY):
        return value
    raise _InvalidObjectError(f"{name}: must be a string of 1 to {LONGEST_KEY} characters")
