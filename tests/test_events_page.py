"""The page of events has a row for each class: `python -m tests.test_events_page` writes the rows anew."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re
from pathlib import Path

from leadsquared_async import Event, events

PAGE = Path(__file__).parents[1] / "docs" / "events.md"
HEAD = "| Event | Class | Level | When | Fields |\n|---|---|---|---|---|\n"
ROWS = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def rows() -> str:
    """The rows, in the order of the module."""
    kinds = [thing for thing in vars(events).values() if inspect.isclass(thing) and issubclass(thing, Event)]
    return "".join(row(kind) for kind in kinds if kind is not Event)


def row(kind: type[Event]) -> str:
    when = (inspect.getdoc(kind) or "").partition("\n")[0]
    fields = ", ".join(f"`{it.name}`" for it in dataclasses.fields(kind) if it.name != "client")
    level = logging.getLevelName(kind.level)
    return f"| `{kind.name}` | `{kind.__name__}` | {level} | {when} | {fields} |\n"


def test_the_page_has_each_event_as_it_is() -> None:
    """Its name, level, meaning and fields."""
    (found,) = ROWS.findall(PAGE.read_text())
    assert found == HEAD + rows(), "changed on purpose? python -m tests.test_events_page"


if __name__ == "__main__":
    PAGE.write_text(ROWS.sub(lambda _: HEAD + rows(), PAGE.read_text()))
