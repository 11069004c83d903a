"""Sockets and TLS under httpcore's connections.

httpcore's own streams open a cancel scope around every read and write for a timeout. An attempt is bounded as
a whole, so these do not.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterable
from typing import Any

import anyio
import httpcore
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

__all__ = ["Network"]


class Network(httpcore.AsyncNetworkBackend):
    """Opens the socket of one connection."""

    def __init__(self) -> None:
        self._opened: _Stream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del timeout, local_address, socket_options
        try:
            self._opened = _Stream(await anyio.connect_tcp(host, port))
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return self._opened

    async def aclose(self) -> None:
        """Close the socket."""
        if self._opened is not None:
            await self._opened.aclose()


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket: Any = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - it is not Django's
        self._tls: Any = stream.extra(TLSAttribute.ssl_object, None)  # noqa: S610

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        try:
            return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        if not buffer:
            return
        try:
            await self._stream.send(buffer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        del timeout
        try:
            secured = await TLSStream.wrap(
                self._stream,
                server_side=False,
                hostname=server_hostname,
                ssl_context=ssl_context,
                standard_compatible=False,
            )
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(secured)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls
        if info == "is_readable":
            return _is_readable(self._socket) or _has_record(self._tls)
        return None


def _is_readable(socket: Any) -> bool:
    """Whether the peer has sent something or closed the socket, or it is closed here."""
    number = socket.fileno()
    if number < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()  # `select` fails from the 1,025th socket on
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def _has_record(tls: Any) -> bool:
    """Whether a TLS record came with the answer's and is not decrypted yet; a byte of it is lost."""
    if not isinstance(tls, ssl.SSLObject):
        return False
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        pass
    return True
