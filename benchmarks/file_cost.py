"""What does a run with a file cost until its rows are in the outbox?

CPU of a row, and memory. The key is wrong, so that the run ends once all rows are in the outbox. The memory
of a run with ten times as many rows is compared with that of the first run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from leadsquared_async.sandbox import Sandbox

FEW, ROWS = 20_000, 200_000
LEAST_ROWS = 5_000.0
"""A second of one processor, read, mapped, checked, put and counted."""
ROOT = str(Path(__file__).parent.parent)
MOST_MEMORY = 60.0
"""MB more for ten times as many rows: two hashes of each."""
HEADINGS = "FirstName,LastName,EmailAddress,Phone,mx_City,Source,mx_Date_of_Birth,Notes"
PROGRAM = """
import resource, sys
from leadsquared_async.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 4, ended.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=open("used", "w"))
"""


def measure() -> Iterator[Figure]:
    """Rows a second of processor time, and the memory that more rows take."""
    few_seconds, few_memory = asyncio.run(_run(FEW))
    seconds, memory = asyncio.run(_run(ROWS))
    rate = (ROWS - FEW) / (seconds - few_seconds)
    yield Figure("rows checked and put, a second of CPU", rate, least=LEAST_ROWS)
    note = f"{few_memory:.0f} MB for {FEW:,} rows, {memory:.0f} MB for {ROWS:,}"
    yield Figure("memory for ten times as many rows", memory - few_memory, " MB", most=MOST_MEMORY, note=note)


async def _run(rows: int) -> tuple[float, float]:
    """Seconds and MB of a run that an account with another key ends once all rows are put."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder, "leads.csv"), rows)
        async with Sandbox(limit=None, attributes="account") as sandbox:
            env = {
                "LEADSQUARED_HOST": sandbox.url,
                "LEADSQUARED_SYNC_HOST": sandbox.url,
                "LEADSQUARED_ACCESS_KEY": sandbox.access_key,
                "LEADSQUARED_SECRET_KEY": sandbox.secret_key,
                "LEADSQUARED_API_KEY": "another",
                "PYTHONPATH": ROOT,
            }
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM, "capture", "leads.csv", "--yes", "--json"),
                cwd=folder,
                env=os.environ | env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            assert await process.wait() == 0
        return _used(Path(folder, "used"))


def _write(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write(f"{HEADINGS}\n")
        file.writelines(
            f"Bret {n},Lee,bret-{n}@example.com,+91-9{n:09},Bengaluru,Website,1990-11-23,"
            '"some notes, with a comma"\n'
            for n in range(rows)
        )


def _used(path: Path) -> tuple[float, float]:
    seconds, kilobytes = map(float, path.read_text().split())
    return seconds, kilobytes / 1024
