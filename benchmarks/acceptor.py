"""A server that accepts everything: the cheapest answer there is, on connections that it counts and keeps."""

from __future__ import annotations

import asyncio

from benchmarks.processes import say, until_input_ends

BODY = b'{"RequestID":"5f0d6f0c-9f4e-4d5f-8a31-3a6f8a2f2f10"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY


async def main() -> None:
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    say({"url": f"http://127.0.0.1:{port}"})
    await until_input_ends()
    say({"accepted": accepted})


if __name__ == "__main__":
    asyncio.run(main())
