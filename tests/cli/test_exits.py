"""What the errors of the system mean to a command."""

from __future__ import annotations

import errno
import os

import pytest

from leadsquared_async.cli.exits import is_closed_pipe


@pytest.mark.parametrize(
    ("system", "error", "closed"),
    [
        ("posix", BrokenPipeError(errno.EPIPE, "Broken pipe"), True),
        ("posix", OSError(errno.EINVAL, "Invalid argument"), False),
        ("nt", OSError(errno.EINVAL, "Invalid argument"), True),
        ("nt", BrokenPipeError(errno.EPIPE, "Broken pipe"), True),
        ("nt", OSError(errno.EINVAL, "Invalid argument", "what?.csv"), False),
        ("nt", OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_a_closed_pipe_is_known_on_each_system(
    system: str, error: OSError, *, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, writing to a pipe whose reader has ended is an invalid argument without a file."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", system)
        found = is_closed_pipe(error)
    assert found is closed
