"""The report of `leadsquared doctor` for an issue.

Every word in it comes from this package's own tables: no text of the server, no host, no key and no value
of a lead.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from leadsquared_async import __version__
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.doctor_checks import Check
from leadsquared_async.cli.files.private_files import Draft
from leadsquared_async.cli.probe import KINDS, candidates
from leadsquared_async.cli.probe_answers import Answer
from leadsquared_async.cli.probing import Probes
from leadsquared_async.config import ENVIRONMENT, setting
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.hosts import LOOPBACK, REGIONS
from leadsquared_async.operations import OPERATIONS

__all__ = ["report_draft", "report_text"]

TITLE = "# Report of leadsquared doctor"
_LIBRARIES = ("httpx", "httpcore", "anyio", "aiolimiter", "tenacity")
_KEYS = {
    name.lower(): name
    for name in (
        *(
            "message",
            "Status",
            "ExceptionType",
            "ExceptionMessage",
            "RequestID",
            "TaskStatus",
            "IsMXException",
        ),
        *("PendingMessages", "MaxDelayInSeconds", "ProcessingRatePerMinute"),
    )
}
"""Keys of an answer that the report names."""
_MESSAGES = {
    *("Missing Authentication Token", "Forbidden", "Not Found", "Unauthorized", "Limit Exceeded"),
    *("Too Many Requests", "Internal server error", "Endpoint request timed out", "Unsupported Media Type"),
}
"""Messages of the gateway that the report quotes."""
_EXCEPTIONS = {
    *("MXMandatoryAttributeMissingException", "MXInvalidActivityFieldsException"),
    *("MXDuplicateEntryException", "MXUnknownAttributeException", "MXInvalidInputException"),
    *("MXInvalidActivityException", "MXUnknownProspectActivityException", "MXAPIRateLimitExceededException"),
    *("MXUnAuthorizedAccessException", "MXAuthenticationFailedException"),
    *("ArgumentNullException", "NullReferenceException"),
}
"""Exceptions that the report names."""


@contextmanager
def report_draft(path: Path | None, others: Iterable[Path]) -> Generator[Draft | None]:
    """The report's file, if there is one; an existing file is replaced only if it is a report."""
    if path is None:
        yield None
        return
    with Draft(path, others=others, begins=(TITLE.encode(),), written_by="--report") as draft:
        yield draft


def report_text(connection: Connection, checks: Sequence[Check], probes: Probes | None) -> str:
    """The report as Markdown."""
    lines = [
        TITLE,
        "",
        "It has no key, no host of an account and no value of a lead. Please read it before you send it.",
        "",
        "## Versions and configuration",
        "",
        *_list(_facts(connection)),
        "",
        "## Checks",
        "",
        *_table(("Check", "Result"), [(check.name, check.verdict) for check in checks]),
    ]
    if probes is not None:
        lines += ["", "## Paths", "", *_paths(probes)]
    if probes is not None and probes.keys is not None:
        rows = [
            (posted.place, _status(posted.answer), _shape(posted.answer), _ACCEPTS[posted.accepts])
            for posted in probes.keys.posted
        ]
        lines += ["", "## Keys: an empty body was posted", ""]
        lines += _table(("Keys", "HTTP", "Answer", "Result"), rows)
    if probes is not None and probes.options:
        found = [f"{name}: {_shown(path)}" for name, path in probes.paths.found.items()]
        if "keys_in" in probes.options:
            found.append(f"keys_in: {probes.options['keys_in']}")
        lines += ["", "## To configure", "", *_list(found)]
    return "\n".join([*lines, ""])


_ACCEPTS = {True: "accepted", False: "not accepted", None: "unclear"}


def _facts(connection: Connection) -> list[str]:
    from importlib.metadata import version  # noqa: PLC0415 - slow to import

    try:
        host = _host(connection.hosts.host)
    except ConfigurationError:
        host = "not configured"
    try:
        limit = str(connection.limit)
    except ConfigurationError:
        limit = "not valid"
    variables = [name for name in ENVIRONMENT.values() if setting(name, os.environ) is not None]
    return [
        f"leadsquared_async {__version__}",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{platform.system()} {platform.machine()}",
        ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        f"host: {host}",
        f"rate limit: {limit}",
        f"variables that are set: {', '.join(variables) or 'none'}",
    ]


def _host(origin: str) -> str:
    """What kind of host it is; only the region of a known one is named."""
    for region, hosts in REGIONS.items():
        if origin == hosts.host:
            return f"of the region {region}"
    name = urlsplit(origin).hostname or ""
    if name in LOOPBACK:
        return "on this machine"
    return "another one of leadsquared.com" if name.endswith(".leadsquared.com") else "another one"


def _paths(probes: Probes) -> list[str]:
    rows = [
        (
            asked.name or "cannot exist",
            "(random)" if asked.source == "control" else _shown(asked.path),
            asked.source,
            _status(asked.answer),
            _shape(asked.answer),
            asked.finding.value,
        )
        for asked in probes.paths.calls
    ]
    return _table(("Call", "Path", "Source", "HTTP", "Answer", "Result"), rows)


def _shown(path: str) -> str:
    """A path of this package's tables; one that the user configured may name an account."""
    return path if path in _known_paths() else "(a configured path)"


def _known_paths() -> Collection[str]:
    tables = (candidates(operation, kind, "") for operation in OPERATIONS.values() for kind in KINDS)
    return {path for paths in tables for path in paths}


def _status(answer: Answer) -> str:
    return "none" if answer.status is None else str(answer.status)


def _shape(answer: Answer) -> str:
    """The kind of body, with known keys, messages and exceptions only."""
    if answer.status is None:
        return type(answer.error).__name__
    if answer.is_page:
        return "a web page"
    if not answer.body.strip():
        return "empty"
    if answer.data is None:
        return "not JSON"
    if not isinstance(answer.data, dict):
        return f"JSON, {type(answer.data).__name__}"
    content = {str(key).lower(): value for key, value in cast("dict[object, object]", answer.data).items()}
    known = [name for low, name in _KEYS.items() if low in content]
    parts = [f"JSON: {', '.join(known) or 'no known key'}"]
    if len(known) < len(content):
        parts.append(f"{len(content) - len(known)} other keys")
    message = content.get("message")
    if isinstance(message, str) and message in _MESSAGES:
        parts.append(f'"{message}"')
    if answer.exception is not None:
        parts.append(answer.exception if answer.exception in _EXCEPTIONS else "another exception")
    return "; ".join(parts)


def _list(entries: Iterable[str]) -> list[str]:
    return [f"- {entry}" for entry in entries]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
