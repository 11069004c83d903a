"""docs/examples/deploy: what the image runs is run here, and the parts of compose.yaml fit together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from leadsquared_async.client import GRACE as CLIENTS
from leadsquared_async.outbox.connection import BUSY
from leadsquared_async.outbox.lifecycle import GRACE as OUTBOXES
from leadsquared_async.sandbox import Sandbox
from tests.examples.programs import EXAMPLES, PLANTED, Program, browser, numbers, running, until

DEPLOY = EXAMPLES / "deploy"
ROOT = EXAMPLES.parent.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
FORM, DELIVERER = COMPOSE["services"]["form"], COMPOSE["services"]["deliverer"]


def instruction(name: str) -> str:
    """The arguments of the last instruction of this name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)[-1]


def here(command: list[str], volume: Path) -> list[str]:
    """A service's command on this machine."""
    others = {"leadsquared": "leadsquared_async", "0.0.0.0": "127.0.0.1", "8000": "{port}"}
    words = [others.get(word, word) for word in command]
    words = [word.replace("0.0.0.0:8026", "127.0.0.1:{port}") for word in words]
    return [word.replace("/var/lib/leads", str(volume)) for word in words]


async def healthy(program: Program, url: str) -> int:
    """How the image's health check ends."""
    python, *words = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
    assert python == "python"
    address = httpx.URL(url).copy_with(port=program.port)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env={**os.environ, "HEALTH": str(address)}, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


@pytest.mark.slow
async def test_what_the_form_puts_the_deliverer_sends(tmp_path: Path) -> None:
    """The two commands of compose.yaml share a file; only the deliverer has keys, and both are healthy."""
    form_env = {"LEADS_DB": str(tmp_path / "leads.db"), "PYTHONPATH": str(DEPLOY)}
    without_keys = dict.fromkeys(("ACCESS_KEY", "SECRET_KEY", "API_KEY", "HOST", "SYNC_HOST"), "")
    form_env |= {f"LEADSQUARED_{name}": it for name, it in without_keys.items()}
    async with (
        Sandbox(limit=None) as sandbox,
        running(*here(FORM["command"], tmp_path), sandbox=sandbox, folder=tmp_path, **form_env) as form,
        running(*here(DELIVERER["command"], tmp_path), sandbox=sandbox, folder=tmp_path) as deliverer,
    ):
        async with browser(form) as visitor:
            sent = await visitor.post("/", data={"EmailAddress": f"{PLANTED}-1@example.com"})
            assert sent.status_code == 200
            assert (await visitor.post("/", data={"EmailAddress": "nobody"})).status_code == 422
        await until(lambda: numbers(sandbox) == [1])
        assert await healthy(form, FORM["environment"]["HEALTH"]) == 0
        assert await healthy(deliverer, instruction("ENV").removeprefix("HEALTH=")) == 0
        await deliverer.stopped()
        assert await healthy(deliverer, instruction("ENV").removeprefix("HEALTH=")) != 0


@pytest.mark.slow
def test_the_image_has_what_its_commands_need(tmp_path: Path) -> None:
    """The Dockerfile's copies and its pip command, in a new environment, give uvicorn and the command."""
    copied = [words.split() for words in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)]
    for *sources, _ in copied:
        assert all((ROOT / source).exists() for source in sources)
    (command,) = re.findall(r"^RUN (pip install .*)$", DOCKERFILE, re.MULTILINE)
    venv.create(tmp_path / "env", with_pip=True)
    programs = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    words = [str(programs / "python"), "-m", *command.replace('"', "").split()]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    script = "import uvicorn, opentelemetry.exporter.prometheus, leadsquared_async.cli.serve_pages"
    subprocess.run([str(programs / "python"), "-c", script], cwd=tmp_path, check=True)
    program = json.loads(instruction("CMD"))[0]
    subprocess.run([str(programs / program), "outbox", "serve", "--help"], check=True, capture_output=True)


def test_the_services_share_a_volume_and_nothing_else() -> None:
    """Keys go to the deliverer only, none is in the image, and ports of the machine are on loopback."""
    assert FORM["volumes"] == DELIVERER["volumes"] == ["leads:/var/lib/leads"]
    assert list(COMPOSE["volumes"]) == ["leads"]
    assert FORM["build"] == DELIVERER["build"]
    assert "env_file" not in FORM
    assert DELIVERER["env_file"] == "keys.env"
    assert "ports" not in DELIVERER
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["restart"] == "unless-stopped"
    assert not re.search(r"LEADSQUARED_\w*KEY", DOCKERFILE)
    assert instruction("USER") == "10001"


def test_the_deliverer_has_the_time_that_a_stop_may_take() -> None:
    """Docker kills a container after 10 s if the file does not say otherwise."""
    grace = int(DELIVERER["stop_grace_period"].removesuffix("s"))
    assert grace >= OUTBOXES + CLIENTS + BUSY / 1000


def test_prometheus_scrapes_the_deliverer() -> None:
    """Under the job's name that the alerts expect."""
    configuration = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    (job,) = configuration["scrape_configs"]
    assert job["job_name"] == "leadsquared"
    port = DELIVERER["command"][-1].rpartition(":")[2]
    assert job["static_configs"] == [{"targets": [f"deliverer:{port}"]}]
    mounted = [it.split(":") for it in COMPOSE["services"]["prometheus"]["volumes"]]
    assert all((DEPLOY / here).is_file() for here, *_ in mounted)
    assert [Path(place).name for _, place, _ in mounted[1:]] == configuration["rule_files"]
