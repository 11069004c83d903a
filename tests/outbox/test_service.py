"""How long an outbox was closed, on systems without Linux's clock since boot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from leadsquared_async.outbox import service


@pytest.mark.parametrize("missing", ["the file", "the clock"])
def test_elsewhere_the_wall_clock_measures_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no /proc, and Windows no `time.clock_gettime`; the calls before it closed are known."""
    if missing == "the file":
        monkeypatch.setattr(Path, "read_text", _no_file)
    else:
        monkeypatch.delattr(time, "clock_gettime", raising=False)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert service.since_boot() == ("unknown", 1000.0)
    assert service._close_in("me unknown 990.0 25") == (10.0, 25)
    assert service._close_in("me unknown 1990.0 25") == (0.0, 25)  # the clock was set back


def _no_file(*_: object, **__: object) -> str:
    raise FileNotFoundError
