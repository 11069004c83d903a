"""How long does a program take to start?

CPU of new interpreters, with bytecode compiled before. Importing the client is compared with importing httpx,
and so is opening a client, because httpx itself is imported only then. "Plain install": without click and
rich, which httpx imports if they are installed. `leadsquared --help` is in seconds of CPU.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.processes import ROOT

BUDGET, BUDGET_WITH_OPENING = 1.25, 1.35
HELP_BUDGET = 0.3
PAIRS = 15
IMPORT = ("from leadsquared_async import LeadSquared", "import httpx")
OPEN = tuple(
    f"import asyncio\n{line}\nasync def main():\n    async with {client}: pass\nasyncio.run(main())"
    for line, client in zip(
        IMPORT,
        (
            "LeadSquared(host='http://127.0.0.1:9', access_key='a', secret_key='s', api_key='k')",
            "httpx.AsyncClient(trust_env=False)",
        ),
        strict=True,
    )
)
"""What is imported only when a client is opened shows here."""
PLAIN = "import sys; sys.modules['click'] = None\n"
"""httpx imports click and rich where they are installed, and would make us look better than we are."""


def measure() -> Iterator[Figure]:
    """The ratios, and the help."""
    yield from ratios(PAIRS)
    with tempfile.TemporaryDirectory() as compiled:
        _help(compiled)
        seconds = statistics.median(_help(compiled) for _ in range(PAIRS))
        yield Figure("leadsquared --help", seconds, " s", most=HELP_BUDGET)


def ratios(number: int) -> Iterator[Figure]:
    """After a plain `pip install leadsquared_async`, and in this environment: medians of so many pairs."""
    with tempfile.TemporaryDirectory() as compiled:
        for what, codes, before in (
            ("import / import httpx, plain install", IMPORT, PLAIN),
            ("import / import httpx, this environment", IMPORT, ""),
            ("import and open / httpx, plain install", OPEN, PLAIN),
        ):
            ours, theirs = (before + code for code in codes)
            for warm_up in (ours, theirs):
                _cpu(warm_up, compiled)
            pairs = [(_cpu(ours, compiled), _cpu(theirs, compiled)) for _ in range(number)]
            medians = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
            yield Figure(
                what,
                statistics.median(ours / theirs for ours, theirs in pairs),
                most=BUDGET_WITH_OPENING if codes is OPEN else BUDGET,
                note="{:.0f} / {:.0f} ms of CPU".format(*medians),
            )


def _help(compiled: str) -> float:
    """Seconds of CPU that `leadsquared --help` takes."""
    return _cpu("from leadsquared_async.cli import main; main()", compiled, "--help")


def _environment(compiled: str) -> dict[str, str]:
    """One in which bytecode is kept elsewhere: a checkout may not be allowed to, as a package is."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}


def _cpu(code: str, compiled: str, *arguments: str) -> float:
    """Seconds of user and system time of an interpreter that runs the code, once it is compiled."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, cwd=ROOT, env=_environment(compiled), check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
