"""The package's log, as one client writes it."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

__all__ = ["ClientLog"]

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class ClientLog(_Adapter):
    """Every record names its client in the attribute `client`, which is None for one without a name.

    Args:
        name: the client's `name=`.
    """

    def __init__(self, name: str | None) -> None:
        super().__init__(logging.getLogger("leadsquared_async"), {"client": name})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the client to the attributes of one record, which the standard adapter would replace."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs
