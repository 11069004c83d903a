"""Where a command listens."""

from __future__ import annotations

import socket
from typing import NamedTuple

from leadsquared_async.cli.exits import CommandFailedError

__all__ = ["Address", "listener"]


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """From HOST:PORT; raises ValueError."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isdecimal() and int(port) < 65536):
            raise ValueError("is written as HOST:PORT, such as 127.0.0.1:8026")
        return cls(host, int(port))


def listener(address: Address) -> socket.socket:
    """A socket that is bound to the address.

    Raises:
        CommandFailedError: it is in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        raise CommandFailedError(f"cannot listen on {address}: {error.strerror}") from None
