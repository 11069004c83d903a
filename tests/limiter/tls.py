"""TLS in front of a server on a socket file, since the Valkey of the tests is built without."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.http.proxies import join, running_server

CERTIFICATE = Path(__file__).parent / "certificate.pem"


def tls_in_front_of(path: Path) -> AbstractAsyncContextManager[int]:
    """A port of 127.0.0.1 that speaks TLS and passes everything on to the socket file."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await join(reader, writer, await asyncio.open_unix_connection(path))

    return running_server(serve, CERTIFICATE)
