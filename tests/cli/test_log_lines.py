"""The log of a command that runs as a service."""

from __future__ import annotations

import json
import logging

import pytest

from leadsquared_async.cli.log_lines import JSONLines, LogFormat, TextLines, logging_lines
from leadsquared_async.cli.terminal import logger

LEAD = "planted@example.com"


def record(message: str = "outbox: %s", *args: object, **attributes: object) -> logging.LogRecord:
    made = logging.LogRecord("leadsquared_async", logging.ERROR, "", 0, message, args, None)
    vars(made).update(attributes)
    return made


def test_a_json_line_has_the_event_and_its_fields() -> None:
    """Time in UTC, level, event and message come first; attributes that are None are left out."""
    line = json.loads(JSONLines().format(record("item %s", 4, event="dead_letter", item=4, client=None)))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "ERROR", "event": "dead_letter", "message": "item 4", "item": 4}
    assert list(json.loads(JSONLines().format(record("x", event="held"))))[:3] == ["time", "level", "event"]


@pytest.mark.parametrize("lines", [JSONLines(), TextLines()])
def test_an_exception_is_one_line_without_its_message(lines: logging.Formatter) -> None:
    """A message may repeat a lead; the type and the frames do not."""
    made = record("failed\nhere")
    try:
        int(LEAD)
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    line = lines.format(made)
    assert "ValueError" in line
    assert "planted" not in line
    assert "\n" not in line


@pytest.mark.parametrize(("chosen", "is_json"), [(None, True), ("json", True), ("text", False)])
def test_lines_are_json_unless_text_is_chosen(
    chosen: LogFormat | None, is_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard error is no terminal here; other packages are logged from WARNING on, and all is restored."""
    before = logger.handlers, logger.level, logger.propagate, logging.getLogger().handlers
    with logging_lines(chosen):
        logger.info("one", extra={"event": "delivering"})
        logging.getLogger("uvicorn.error").warning("two")
        logging.getLogger("httpx").info("three")
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("{") for line in lines] == [is_json, is_json]
    assert (logger.handlers, logger.level, logger.propagate, logging.getLogger().handlers) == before
