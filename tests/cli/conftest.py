"""Fixtures of the commands' tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def commands_poll_soon(polls_soon: None) -> None:
    """Most commands wait for outcomes, and their sandboxes process each request at once."""
