"""The package's log."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from leadsquared_async.printable import one_line

__all__ = ["ClientLog", "Traceback"]

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class ClientLog(_Adapter):
    """One client's log; each record has the client's name, or None, as its attribute `client`.

    Args:
        name: the client's `name=`.
    """

    def __init__(self, name: str | None) -> None:
        super().__init__(logging.getLogger("leadsquared_async"), {"client": name})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the client to the record's attributes; the standard adapter would replace them."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


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

logging.getLogger("leadsquared_async").addFilter(_OneLine())
