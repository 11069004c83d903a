"""The script that the store runs: its text, and the digest by which the store knows it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

__all__ = ["digest", "text"]


@cache
def text() -> str:
    """The Lua source."""
    return files("leadsquared_async.limiter").joinpath("redis_tokens.lua").read_text(encoding="utf-8")


@cache
def digest() -> str:
    """What EVALSHA calls it."""
    return hashlib.sha1(text().encode(), usedforsecurity=False).hexdigest()
