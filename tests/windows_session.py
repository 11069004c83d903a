"""A short session for `tests.windows`: import each module, capture a lead, deliver two from an outbox.

The outbox is in the current folder.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import pytest

import leadsquared_async
from leadsquared_async import ConfigurationError, ItemState, Outbox, SharedLimiter
from leadsquared_async.limiter import tokens
from leadsquared_async.sandbox import Sandbox
from tests.clients import client_of
from tests.virtual import STEP
from tests.windows import MODULES

LEAD = {"FirstName": "Bret", "EmailAddress": "bret@example.com"}


def import_all() -> int:
    """Import each module; only a library may be missing, and nothing that Windows lacks."""
    names = [each.name for each in pkgutil.walk_packages(leadsquared_async.__path__, "leadsquared_async.")]
    missing = set[str]()
    for name in names:
        try:
            if name != "leadsquared_async.__main__":
                importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing.add(error.name or name)
    assert not missing & set(MODULES)
    assert not [name for name in missing if name.startswith("leadsquared_async")]
    return len(names)


async def session(folder: Path) -> None:
    with pytest.raises(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, print)
    with pytest.raises(ConfigurationError, match="Windows"):
        SharedLimiter("unix:///run/valkey.sock")
    assert tokens._ROUNDING == STEP
    async with Sandbox(processing_rate=60_000) as sandbox, client_of(sandbox) as lsq:
        receipt = await lsq.leads.capture(LEAD, search_by="EmailAddress")
        assert (await lsq.leads.wait(receipt)).succeeded
        async with Outbox(folder / "leads.db", lsq) as outbox:
            await outbox.put({**LEAD, "EmailAddress": "second@example.com"}, key="form-1")
            async with Outbox(folder / "leads.db", lsq) as other:  # which does not deliver
                await other.put({**LEAD, "EmailAddress": "third@example.com"}, key="form-2")
            async with asyncio.timeout(30):
                while (await outbox.snapshot()).counts[ItemState.CONFIRMED] < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        async with Outbox(folder / "leads.db") as outbox:
            assert (await outbox.snapshot()).counts[ItemState.CONFIRMED] == 2
        assert len(sandbox.books.leads) == 3


if __name__ == "__main__":
    imported = import_all()
    asyncio.run(session(Path.cwd()))
    sys.stdout.write(f"{imported} modules\n")
