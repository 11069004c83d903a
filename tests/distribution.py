"""What would be published, installed as its users will: `python -m tests.distribution dist`, by `make dist`.

The wheel and the sdist are installed into empty environments: without an extra, and with each.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPORT = "import leadsquared_async; from leadsquared_async import *"
# What the extra is for, in as few words as run without a server.
USES = {
    "outbox": "import asyncio\nfrom leadsquared_async import Outbox\n"
    "async def main():\n    async with Outbox('leads.db') as outbox:\n"
    "        await outbox.put({'EmailAddress': 'bret.lee@example.com'})\nasyncio.run(main())",
    "cli": "from leadsquared_async.cli import main\nimport sys\nsys.argv = ['leadsquared', '--help']\nmain()",
    "sandbox": "import asyncio\nfrom leadsquared_async.sandbox import Sandbox\n"
    "from leadsquared_async.testing import client_of\n"
    "async def main():\n    async with Sandbox() as sandbox, client_of(sandbox) as lsq:\n"
    "        print(await lsq.leads.capture({'EmailAddress': 'bret.lee@example.com'}))\nasyncio.run(main())",
    "otel": "import opentelemetry.trace, leadsquared_async.telemetry",
    "prometheus": "import opentelemetry.exporter.prometheus, opentelemetry.sdk.metrics",
    "phone": "from leadsquared_async import phone\nphone('IN')",
    "redis": "from leadsquared_async import SharedLimiter\nSharedLimiter('redis://127.0.0.1')",
    "taskiq": "import leadsquared_async.integrations.taskiq",
    "all": IMPORT,
}


def main(folder: Path) -> None:
    """Check the one wheel and the one sdist of the folder."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert USES.keys() == extras.keys(), "each extra needs a line in USES"
    _check_contents(wheel, sdist)
    for file, extra in ((sdist, ""), (wheel, ""), *((wheel, extra) for extra in extras)):
        _try(file, extra)
        print(f"{file.name}{f'[{extra}]' if extra else ''}: installed and used", flush=True)


def _check_contents(wheel: Path, sdist: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    strays = [name for name in names if not name.startswith("leadsquared_async")]
    assert not strays, strays
    needed = ("py.typed", "limiter/redis_tokens.lua", "sandbox/window/")
    missing = [name for name in needed if not any(f"leadsquared_async/{name}" in one for one in names)]
    assert not missing, missing
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held >= {"README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py", "docs/examples.md"}


def _try(file: Path, extra: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        venv.create(place / "venv", with_pip=True)
        python = place / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        what = f"{file.resolve()}[{extra}]" if extra else str(file.resolve())
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", what]
        subprocess.run(pip, check=True, cwd=place)
        subprocess.run([python, "-m", "pip", "check"], check=True, cwd=place, stdout=subprocess.DEVNULL)
        for program in (IMPORT, USES[extra] if extra else IMPORT):
            ran = [python, "-W", "error", "-c", program]
            subprocess.run(ran, check=True, cwd=place, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
