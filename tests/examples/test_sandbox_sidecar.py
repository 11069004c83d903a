"""docs/examples/sandbox-sidecar: what the containers would run is run here, and its parts fit together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from leadsquared_async.sandbox import Sandbox
from tests.examples.programs import EXAMPLES, free_port

SIDECAR = EXAMPLES / "sandbox-sidecar"
DOCKERFILE = (SIDECAR / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((SIDECAR / "compose.yaml").read_text())["services"]
POD = yaml.safe_load((SIDECAR / "pod.yaml").read_text())["spec"]
(SANDBOX_OF_POD,) = POD["initContainers"]
(TESTS_OF_POD,) = POD["containers"]


def as_compose_reads(value: Any) -> Any:
    """With $$ as $; another $ would name a variable of the shell that starts compose."""
    if isinstance(value, str):
        assert "$" not in value.replace("$$", "")
        return value.replace("$$", "$")
    if isinstance(value, list):
        return list(map(as_compose_reads, value))
    return {name: as_compose_reads(part) for name, part in value.items()}


TESTS_OF_COMPOSE = as_compose_reads({name: COMPOSE["tests"][name] for name in ("environment", "command")})
PROBE = COMPOSE["sandbox"]["healthcheck"]["test"][1:]
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "compose": TESTS_OF_COMPOSE["environment"],
    "pod": {entry["name"]: entry["value"] for entry in TESTS_OF_POD["env"]},
}
COMMANDS: Mapping[str, list[str]] = {
    "compose": [*COMPOSE["tests"]["entrypoint"], *TESTS_OF_COMPOSE["command"]],
    "pod": [*TESTS_OF_POD["command"], *TESTS_OF_POD["args"]],
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tests' container has curl")
@pytest.mark.parametrize("kind", COMMANDS)
async def test_the_containers_commands_work_together(kind: str, tmp_path: Path) -> None:
    """The sandbox becomes healthy, the tests capture a lead, and the stop signal ends the sandbox."""
    port = str(free_port())
    program, *arguments = json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[0])
    assert program == "leadsquared"
    sandbox = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadsquared_async", *arguments, "--port", port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        probe = [sys.executable, *(word.replace("8025", port) for word in PROBE[1:])]
        for _ in range(COMPOSE["sandbox"]["healthcheck"]["retries"]):
            if await ends(probe, {}) == (0, ""):
                break
            await asyncio.sleep(0.1)
        environment = {name: value.replace("8025", port) for name, value in ENVIRONMENTS[kind].items()}
        code, said = await ends(COMMANDS[kind], environment)
        assert code == 0, said
        assert "RequestID" in said
        code, _ = await ends(COMMANDS[kind], environment | {"LEADSQUARED_SECRET_KEY": "wrong"})
        assert code != 0
        sandbox.send_signal(signal.SIGTERM)  # as docker and Kubernetes do
        assert await asyncio.wait_for(sandbox.wait(), 10) == 0
        assert sandbox.stderr is not None
        assert b"leads: 1" in await sandbox.stderr.read()
    finally:
        if sandbox.returncode is None:
            sandbox.kill()
            await sandbox.wait()


async def ends(command: list[str], environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Run a command; how it ends and what it writes to standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_the_tests_have_the_sandboxs_keys(kind: str) -> None:
    """What `leadsquared sandbox` prints for its default port."""
    url = "http://127.0.0.1:8025"
    assert ENVIRONMENTS[kind] == {
        "LEADSQUARED_HOST": url,
        "LEADSQUARED_SYNC_HOST": url,
        "LEADSQUARED_ACCESS_KEY": Sandbox.access_key,
        "LEADSQUARED_SECRET_KEY": Sandbox.secret_key,
        "LEADSQUARED_API_KEY": Sandbox.api_key,
    }


def test_only_the_tests_reach_the_sandbox() -> None:
    """They share its network namespace, and no port of it is published."""
    assert COMPOSE["tests"]["network_mode"] == "service:sandbox"
    assert COMPOSE["tests"]["depends_on"] == {"sandbox": {"condition": "service_healthy"}}
    assert not any("ports" in container for container in (*COMPOSE.values(), SANDBOX_OF_POD, TESTS_OF_POD))
    assert "hostNetwork" not in POD
    assert "EXPOSE" not in DOCKERFILE


def test_the_sidecar_starts_before_the_tests_and_does_not_keep_the_pod_running() -> None:
    """An init container that restarts, with a probe that runs inside it."""
    assert SANDBOX_OF_POD["restartPolicy"] == "Always"
    assert POD["restartPolicy"] == "Never"
    assert SANDBOX_OF_POD["startupProbe"]["exec"]["command"] == PROBE


def test_the_image_has_what_the_package_is_built_from() -> None:
    """The build context of compose is the repository, and every copied file is in it."""
    root = (SIDECAR / COMPOSE["sandbox"]["build"]["context"]).resolve()
    assert root / COMPOSE["sandbox"]["build"]["dockerfile"] == SIDECAR / "Dockerfile"
    copied = [
        name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    ]
    assert all((root / name).exists() for name in copied)
    assert {"pyproject.toml", "README.md", "LICENSE", "leadsquared_async"} == set(copied)
