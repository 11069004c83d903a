"""The log of a command that runs as a service: text lines or JSON lines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from leadsquared_async.cli.terminal import logger
from leadsquared_async.http.redaction import traceback_without_values
from leadsquared_async.printable import one_line

__all__ = ["JSONLines", "LogFormat", "TextLines", "logging_lines"]

LogFormat = Literal["text", "json"]
LONGEST_LINE = 4000

_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName", "event"}


class JSONLines(logging.Formatter):
    """Time, level, event and message of a record, then its other attributes, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception is shown as its type and frames, because its message may quote a lead."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": getattr(record, "event", None),
            "message": record.getMessage(),
            **{name: it for name, it in vars(record).items() if name not in _STANDARD and it is not None},
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["traceback"] = traceback_without_values(record.exc_info[1])
        return json.dumps(fields, default=str)


class TextLines(logging.Formatter):
    """The local time, level and message of a record, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception is shown as its type."""
        at = datetime.fromtimestamp(record.created).astimezone()
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        message = record.getMessage() if error is None else f"{record.getMessage()} ({error})"
        return f"{at:%H:%M:%S} {record.levelname:<7} {one_line(message, LONGEST_LINE)}"


@contextmanager
def logging_lines(chosen: LogFormat | None) -> Generator[None]:
    """Write the package's log from INFO on, and other logs from WARNING on, to standard error.

    The default format is text at a terminal, and JSON elsewhere.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        TextLines() if chosen == "text" or (chosen is None and sys.stderr.isatty()) else JSONLines()
    )
    root = logging.getLogger()
    before = logger.handlers, logger.level, logger.propagate, root.handlers
    logger.handlers, logger.propagate, root.handlers = [handler], False, [handler]
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate, root.handlers = before
        logger.setLevel(level)
