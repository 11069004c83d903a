"""The events of a client, and their log records, next to each other."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from leadsquared_async import Event
from leadsquared_async.events import AttemptFailed, CallEnded, Retried, Sent

OF_CALLS = (AttemptFailed, CallEnded, Retried, Sent)


class Recorded(logging.Handler):
    """Pass it as `on_event=`; while `recording`, it also has the records."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.events: list[Event] = []
        self.records: list[logging.LogRecord] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def names(self) -> list[str]:
        """The events that happened, in order."""
        return [event.name for event in self.events]

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    def assert_records_agree(self) -> None:
        """Each event has one record with its name, level and fields, and no other record has an event."""
        told = [vars(record) for record in self.records if hasattr(record, "event")]
        assert [record["event"] for record in told] == self.names
        for record, event in zip(told, self.events, strict=True):
            assert record["levelno"] == event.level
            for field in dataclasses.fields(event):
                value = getattr(event, field.name)
                same = value is None or isinstance(value, int | float)
                assert record[field.name] == (value if same else " ".join(str(value).split())), field.name


@contextmanager
def recording() -> Iterator[Recorded]:
    """Record everything that the package logs, from DEBUG on."""
    recorded, logger = Recorded(), logging.getLogger("leadsquared_async")
    level = logger.level
    logger.addHandler(recorded)
    logger.setLevel(logging.DEBUG)
    try:
        yield recorded
    finally:
        logger.setLevel(level)
        logger.removeHandler(recorded)
