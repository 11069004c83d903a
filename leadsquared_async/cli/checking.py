"""`leadsquared check`: what would be rejected of a file, and why, before any of it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.fields import checker_of
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.source import STDIN, Line, Reading, Source
from leadsquared_async.cli.reports import Files, report
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.cli.talk import Talk
from leadsquared_async.cli.wording import rows, table
from leadsquared_async.printable import one_line

__all__ = ["CheckOptions", "run_check"]

LINES_SHOWN = 5
PROBLEMS_SHOWN = 50
LOOK_EVERY = 500
"""Rows after which a stop is looked for."""
REFUSED = "refused"
"""What is wrong with a row that makes no lead, whichever account it is for."""
HEADINGS = ("Attribute", "Problem", "Rows", "First lines", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What the command was told.

    Attributes:
        file: to be read; "-" for standard input.
        reading: how.
        mapping: how rows become leads.
        partial: whether the leads are there already, so that they lack nothing.
        connection: to LeadSquared.
        rejects: where to write the rows to be mended.
    """

    file: str
    reading: Reading
    mapping: LeadMapping
    partial: bool
    connection: Connection
    rejects: Path | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """Something that is wrong, in however many rows.

    Attributes:
        attribute: with which it is wrong; empty where the message says so itself.
        problem: in a word.
        message: what is wrong and what to do; holds no value.
        suggestion: the field that was probably meant.
    """

    attribute: str
    problem: str
    message: str
    suggestion: str | None = None


@dataclass(slots=True)
class _Where:
    count: int = 0
    lines: list[int] = field(default_factory=list[int])


def run_check(options: CheckOptions, talk: Talk) -> ExitStatus:
    """Read the whole file, and show what LeadSquared would refuse about its rows.

    Raises:
        CommandFailedError, Refused, Unreadable, LeadSquaredError, OSError: it cannot begin.
        Interrupted: a stop was asked for.
    """
    with Stop(ExitStatus.LEFT) as stop:
        return asyncio.run(_check(options, talk, stop))


async def _check(options: CheckOptions, talk: Talk, stop: Stop) -> ExitStatus:
    options.connection.client()  # a missing key is known before the file is read
    others = [] if options.file == STDIN else [Path(options.file)]
    with (
        Files(None, options.rejects, others) as files,
        Source(
            options.file,
            options.reading,
            options.mapping,
            update_behavior=None,
            host=options.connection.origin,
            folder=None,
            stop=stop,
        ) as source,
    ):
        checker = await checker_of(options.connection, stop)
        may_be_there = options.partial or options.mapping.search_by is not None
        source.check = partial(checker.check, partial=may_be_there)
        read = flawed = 0
        found: dict[_Kind, _Where] = {}
        for line in source.lines():
            if not read % LOOK_EVERY:
                stop.check()
            read += 1
            kinds = set(_kinds(line))
            flawed += bool(kinds)
            for kind in kinds:
                where = found.setdefault(kind, _Where())
                where.count += 1
                if len(where.lines) < LINES_SHOWN:
                    where.lines.append(line.row.line)
        rejects = None
        if flawed and options.rejects is not None:
            rejects = (await report(source, None, files, reused={})).rejects
    status = ExitStatus.NOT_ALL if flawed else ExitStatus.DONE
    problems = sorted(found.items(), key=lambda item: -item[1].count)
    said = f"{flawed:,} would be rejected" if flawed else "none would be rejected"
    head = f"{one_line(source.name)}: {rows(read)} against {len(checker.fields):,} lead fields, {said}"
    data: dict[str, Any] = {
        "input": source.name,
        "rows": read,
        "flawed": flawed,
        "fields": len(checker.fields),
        "problems": [_data(kind, where) for kind, where in problems],
        "rejects": None if rejects is None else str(rejects),
        "exit": int(status),
    }
    if len(problems) > PROBLEMS_SHOWN:
        talk.say(f"{len(problems) - PROBLEMS_SHOWN:,} more problems; --json has them all")
    if rejects is not None:
        talk.say(f"{rejects} holds the rows to mend, each with its reason")
    shown = table([HEADINGS, *(_cells(kind, where) for kind, where in problems[:PROBLEMS_SHOWN])])
    talk.result(f"{head}\n{shown}" if problems else head, data)
    return status


def _kinds(line: Line) -> Iterator[_Kind]:
    if line.flaw is not None:
        place = f"line {line.row.line}"
        yield _Kind("", REFUSED, line.flaw.removeprefix(place).lstrip(",: "))
    for flaw in line.flaws:
        message = flaw.message.removeprefix(f"{flaw.attribute}: ")
        yield _Kind(flaw.attribute, flaw.kind, message, flaw.suggestion)


def _cells(kind: _Kind, where: _Where) -> tuple[str, ...]:
    more = ", ..." if where.count > len(where.lines) else ""
    lines = ", ".join(map(str, where.lines)) + more
    return (kind.attribute, kind.problem, f"{where.count:,}", lines, kind.message)


def _data(kind: _Kind, where: _Where) -> dict[str, Any]:
    return {
        "attribute": kind.attribute or None,
        "problem": kind.problem,
        "suggestion": kind.suggestion,
        "message": kind.message,
        "rows": where.count,
        "lines": where.lines,
    }
