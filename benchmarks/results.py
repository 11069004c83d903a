"""The results that `make bench` keeps: one JSON file a benchmark, with the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.processes import ROOT

FOLDER = ROOT / "docs" / "benchmarks"
VERSIONS_OF = (
    "aiolimiter",
    "aiosqlite",
    "httpx",
    "httpx-limiter",
    "limits",
    "pyrate-limiter",
    "tenacity",
    "throttled-py",
    "uvloop",
)
NAMES = (
    "rate",
    "rate_sockets",
    "stranger",
    "forms",
    "many_accounts",
    "capture_cost",
    "waiting_cost",
    "outbox_cost",
    "outbox_puts",
    "outbox_drain",
    "following",
    "import_cost",
    "telemetry_cost",
    "token_cost",
    "check_cost",
    "file_cost",
    "batch_memory",
    "connections",
    "shared_cost",
    "shared_rate",
    "shared_faults",
    "tasks",
    "crashes",
    "uvloop_captures",
)
"""The benchmarks, in the order of the page; each is a module with a function `measure`."""


@dataclass(frozen=True)
class Kept:
    """The results of one benchmark.

    Attributes:
        asked: the question, and how it is answered.
        measured: date, commit, Python, machine and versions.
    """

    name: str
    asked: str
    measured: dict[str, Any]
    results: list[Result]


def keep(name: str, asked: str, results: Iterable[Result], folder: Path = FOLDER) -> Path:
    """Write the results of a benchmark; returns the file."""
    kinds: dict[str, list[dict[str, Any]]] = {"figures": [], "tables": [], "plots": []}
    for result in results:
        kinds[_kind(result)].append(asdict(result))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(
        json.dumps({"asked": asked.strip(), "measured": _circumstances(), **kinds}, indent=1) + "\n"
    )
    return file


def kept(folder: Path = FOLDER) -> list[Kept]:
    """All that was kept, in the order of the page."""
    files = ((name, folder / f"{name}.json") for name in NAMES)
    return [_read(name, json.loads(file.read_text())) for name, file in files if file.exists()]


def _read(name: str, stored: dict[str, Any]) -> Kept:
    results: list[Result] = [
        *(Table(**table) for table in stored["tables"]),
        *(Plot(**plot) for plot in stored["plots"]),
        *(Figure(**figure) for figure in stored["figures"]),
    ]
    return Kept(name, stored["asked"], stored["measured"], results)


def _kind(result: Result) -> str:
    match result:
        case Figure():
            return "figures"
        case Table():
            return "tables"
        case Plot():
            return "plots"


def _circumstances() -> dict[str, Any]:
    installed = {found.name for found in distributions()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {name: version(name) for name in VERSIONS_OF if name in installed},
    }


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpus.exists():
        for line in cpus.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
