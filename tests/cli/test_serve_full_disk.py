"""`leadsquared outbox serve` through a full disk, in processes and on file systems that are full."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leadsquared_async import Outbox, OutboxError
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import until
from tests.cli.test_serve_command import browser, events_of, numbers, put, served, until_reason
from tests.examples.programs import PLANTED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits the files of a running process"),
]

MEGABYTE = 1024 * 1024
LONG = "x" * 20_000


@contextmanager
def small_disk(folder: Path) -> Generator[None]:
    """A file system of a megabyte in the folder."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def put_until_it_fails(folder: Path) -> int:
    """How many puts were confirmed before one failed because the disk was full."""
    async with Outbox(folder / "leads.db") as outbox:
        for number in range(100):
            lead = {"EmailAddress": f"{PLANTED}-{number}@example.com", "mx_Notes": LONG}
            try:
                await outbox.put(lead, reference=f"form-{number}")
            except OutboxError:
                return number
    raise AssertionError("the disk was not full")


async def test_a_full_disk_loses_no_confirmed_put(tmp_path: Path) -> None:
    """`/readyz` and the log say so. With space each confirmed put is sent once, and no other."""
    with small_disk(tmp_path):
        async with (
            Sandbox(limit=None, faults=Faults(latency=0.2)) as sandbox,
            served(sandbox, tmp_path) as program,
        ):
            await until_reason(program, None)
            ballast = tmp_path / "ballast"
            ballast.write_bytes(b"x" * (MEGABYTE * 6 // 10))
            confirmed = await put_until_it_fails(tmp_path)
            assert confirmed > 0
            await until_reason(program, "free disk space")
            await program.says('"event": "store_lost"')
            async with browser(program) as client:
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/metrics")).status_code in {200, 501}
            ballast.unlink()
            await until(lambda: len(numbers(sandbox)) == confirmed, within=15.0)
            await until_reason(program, None)
            assert await program.stopped() == 0
        assert numbers(sandbox) == list(range(confirmed))
    assert "store_back" in events_of(program)


async def test_a_file_that_may_not_grow_holds_delivery(tmp_path: Path) -> None:
    """As with `ulimit -f` or a quota: nothing is sent that could not be stored, and it resumes."""
    async with Sandbox(limit=None) as sandbox, served(sandbox, tmp_path) as program:
        await until_reason(program, None)
        unlimited = resource.prlimit(program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
        await put(tmp_path, *range(5))
        await until_reason(program, "disk I/O error")
        await program.says('"event": "store_lost"')
        await asyncio.sleep(8.0)  # long enough for the pauses between its attempts to grow
        assert sandbox.books.accepted == 0
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, unlimited)
        await until(lambda: len(numbers(sandbox)) == 5, within=10.0)
        await until_reason(program, None)
        assert await program.stopped() == 0
    assert numbers(sandbox) == [0, 1, 2, 3, 4]
    assert "store_back" in events_of(program)
