"""Passes the events of a client to its subscribers and to the package's log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

from leadsquared_async.clock import running_loop
from leadsquared_async.printable import one_line

if TYPE_CHECKING:
    from leadsquared_async.events import Event

    _Adapter = logging.LoggerAdapter[logging.Logger]
    Subscriber = Callable[[Event], None]
else:
    _Adapter = logging.LoggerAdapter

__all__ = ["ClientEvents", "ClientLog", "Traceback"]

_logger = logging.getLogger("leadsquared_async")
NOBODY = logging.CRITICAL + 1
"""Above the level of every event."""


class ClientEvents:
    """The events of one client: each goes to the log, and to every subscriber in the client's event loop.

    Args:
        client: the client's `name=`.

    Attributes:
        log: for what is not an event, such as a traceback.
        loop: the client's event loop, once it is open.
    """

    def __init__(self, client: str | None) -> None:
        self.log = ClientLog(client)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._client = client
        self._subscribers: list[tuple[int, Subscriber]] = []
        self._lowest = NOBODY  # level that a subscriber receives
        self._failures: set[tuple[str, type]] = set()

    def subscribe(self, subscriber: Subscriber, level: int = logging.DEBUG) -> Callable[[], None]:
        """Call `subscriber` with each event from this level on, until the returned function is called."""
        entry = (level, subscriber)
        self._subscribers.append(entry)
        self._lowest = min(self._lowest, level)
        return partial(self._leave, entry)

    def _leave(self, entry: tuple[int, Subscriber]) -> None:
        self._subscribers.remove(entry)
        self._lowest = min((level for level, _ in self._subscribers), default=NOBODY)

    def wants(self, level: int) -> bool:
        """Whether events of this level are received; check it before creating a DEBUG or INFO event."""
        return level >= self._lowest or _logger.isEnabledFor(level)

    def emit(self, event: Event) -> None:
        """Log a new event and pass it to the subscribers, with the client's name; from any thread."""
        object.__setattr__(event, "client", self._client)  # `replace` takes 9 us
        _write(event)
        if not self._subscribers:
            return
        if self.loop is None or self.loop is running_loop():
            self._tell(event)
        else:
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._tell, event)

    def _tell(self, event: Event) -> None:
        for lowest, subscriber in tuple(self._subscribers):
            if event.level < lowest:
                continue
            try:
                subscriber(event)
            except (Exception, asyncio.CancelledError) as error:
                self._failed(event, error)

    def _failed(self, event: Event, error: BaseException) -> None:
        """Log it once; a subscriber does not get the event of its own failure."""
        from leadsquared_async.events import CallbackFailed  # noqa: PLC0415 - slow to import

        kind = (event.name, type(error))
        if kind not in self._failures:
            self._failures.add(kind)
            _write(
                CallbackFailed(
                    client=self._client, callback="on_event", kind=type(error).__name__, item=event.name
                )
            )


def _write(event: Event) -> None:
    """Log an event; its fields are attributes of the record."""
    if not _logger.isEnabledFor(event.level):
        return
    values = {it.name: getattr(event, it.name) for it in fields(event)}
    shown = {name: "-" if value is None else _one_line(value) for name, value in values.items()}
    template = event.template if event.client is None else f"[%(client)s] {event.template}"
    _log(event.level, template, (shown,), {"event": event.name, **values})


def _log(level: int, message: object, args: tuple[object, ...], attributes: Mapping[str, object]) -> None:
    """Like `Logger.log`, but no handler, filter or attribute of the program's makes a call fail."""
    record = None
    try:
        record = _logger.makeRecord(_logger.name, level, __file__, 0, message, args, None)
        vars(record).update(attributes)  # `extra` fails if the program's records have such an attribute
        _logger.handle(record)
    except Exception:
        if record is not None:
            logging.Handler().handleError(record)  # prints it, if logging.raiseExceptions


class ClientLog(_Adapter):
    """One client's log; each record has the client's name, or None, as its attribute `client`.

    Args:
        name: the client's `name=`.
    """

    def __init__(self, name: str | None) -> None:
        super().__init__(_logger)
        self._client = name

    def log(self, level: int, msg: object, *args: object, **_: object) -> None:
        """Write a record; the other methods call this."""
        if self.isEnabledFor(level):
            _log(level, msg, args, {"client": self._client})


class Traceback(str):
    """A traceback of several lines, logged unchanged."""

    __slots__ = ()


class _OneLine(logging.Filter):
    """Makes each argument and each extra attribute of a record one printable line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_one_line, record.args))
        for name, value in vars(record).items():
            if name not in _STANDARD:
                setattr(record, name, _one_line(value))
        return True


def _one_line(value: object) -> object:
    if value is None or isinstance(value, int | float | Traceback):
        return value
    return one_line(value)


_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "taskName",
    "message",
    "asctime",
}

_logger.addFilter(_OneLine())
