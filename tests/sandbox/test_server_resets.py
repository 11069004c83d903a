"""How the sandbox resets a connection on each system."""

from __future__ import annotations

import socket
import struct
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leadsquared_async.sandbox import Sandbox, server
from leadsquared_async.sandbox.answers import How, Reply


@pytest.mark.parametrize(("system", "layout"), [("linux", "ii"), ("darwin", "ii"), ("win32", "hh")])
async def test_a_reset_lingers_for_no_time(system: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`struct linger` has two shorts on Windows, and two ints elsewhere."""
    done: list[Any] = []
    raw = SimpleNamespace(setsockopt=lambda *option: done.append(option))
    transport = SimpleNamespace(get_extra_info=lambda _: raw, abort=lambda: done.append("abort"))

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async with Sandbox() as sandbox:
        monkeypatch.setattr(server, "sys", SimpleNamespace(**{**vars(sys), "platform": system}))
        reply = Reply(200, how=How.RESET)
        await cast("Any", sandbox)._server._send_faulty(reply, transport, receive)
    assert done == [(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(layout, 1, 0)), "abort"]
