"""The stores of the tests of the shared limit, for those of tasks."""

from __future__ import annotations

from tests.limiter.conftest import own_valkey, valkey

__all__ = ["own_valkey", "valkey"]
