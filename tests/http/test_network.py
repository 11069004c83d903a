"""Whether a kept connection is still usable, asked of the system."""

from __future__ import annotations

import select
import socket

import pytest

from leadsquared_async.http.network import _is_readable


@pytest.mark.parametrize("has_poll", [True, False], ids=["poll", "as on Windows"])
def test_a_socket_is_readable_once_the_peer_has_said_something(
    monkeypatch: pytest.MonkeyPatch, *, has_poll: bool
) -> None:
    """Not before; also when it is closed there or here. Windows has no `select.poll`."""
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    for end in (lambda peer: peer.send(b"x"), lambda peer: peer.close()):
        here, peer = socket.socketpair()
        with here, peer:
            assert not _is_readable(here)
            end(peer)
            assert _is_readable(here)
    assert _is_readable(here)
