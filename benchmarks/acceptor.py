"""A server that accepts everything: the cheapest answer there is, on connections that it counts and keeps.

`python -m benchmarks.acceptor [seconds]` answers so many seconds after the request, by default at once.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.processes import say, until_input_ends

BODY = b'{"RequestID":"5f0d6f0c-9f4e-4d5f-8a31-3a6f8a2f2f10"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY


class _Connection(asyncio.Protocol):
    """Answers each request as soon as its head and its body have come."""

    accepted = 0
    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        type(self).accepted += 1
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (length := _length_of(self._received)) is not None and len(self._received) >= length:
            self._received = self._received[length:]
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._transport.write, ANSWER)
            else:
                self._transport.write(ANSWER)


def _length_of(received: bytes) -> int | None:
    """Bytes of the first request; None while its head is incomplete."""
    head, separator, _ = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return len(head) + len(separator) + int(length)


async def main(delay: float) -> None:
    _Connection.delay = delay
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    say({"url": f"http://127.0.0.1:{port}"})
    await until_input_ends()
    say({"accepted": _Connection.accepted})


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else 0.0))
