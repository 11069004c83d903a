"""docs/sandbox-http.md: its commands are run in their order, and their outputs are those that it shows.

After an intended change, write ids and outputs with `python -m tests.sandbox.test_sandbox_http_page`.
"""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from leadsquared_async.cli.sandbox import SandboxOptions
from leadsquared_async.sandbox import Sandbox

from .test_openapi import description

PAGE = Path(__file__).parent.parent.parent / "docs" / "sandbox-http.md"
BLOCK = re.compile(
    r"^```sh\n(?P<commands>.*?)^```\n(?:\n```(?:json|text)\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
VARIABLE = re.compile(r"^[A-Z_]+=.*\n", re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")


async def run(command: str, environment: dict[str, str]) -> str:
    """What a shell's terminal shows of a command."""
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", command), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await shell.communicate()
    return output.decode()


async def as_run(page: str, folder: Path) -> str:
    """The page with the ids and outputs of a sandbox that is started as the page says.

    The sandbox's clock goes 10 s from block to block.
    """
    now = 0.0
    (folder / ".curlrc").write_text("silent\nshow-error\n")  # as at a terminal: no progress meter
    parsed = {
        "limit": (25, 5.0),
        "bulk_limit": (1, 5.0),
        "mandatory": [],
        "unique": ["EmailAddress", "Phone"],
    }
    options = SandboxOptions(**parsed, seed=1)
    async with Sandbox(clock=lambda: now, **options.as_settings()) as sandbox:
        environment = {
            "PATH": os.environ["PATH"],
            "CURL_HOME": str(folder),
            "LEADSQUARED_HOST": sandbox.url,
            "LEADSQUARED_SYNC_HOST": sandbox.url,
            "LEADSQUARED_ACCESS_KEY": sandbox.access_key,
            "LEADSQUARED_SECRET_KEY": sandbox.secret_key,
            "LEADSQUARED_API_KEY": sandbox.api_key,
        }
        ids: dict[str, str] = {}
        variables = ""
        written, end = [], 0
        for block in BLOCK.finditer(page):
            now += 10
            commands = GUID.sub(lambda found: ids.get(found[0], found[0]), block["commands"])
            output = await run(variables + commands, environment)
            variables += "".join(VARIABLE.findall(commands))
            written += [page[end : block.start("commands")], commands]
            end = block.end("commands")
            if block["output"] is None:
                assert not output, f"{commands}\n{output}"
                continue
            ids.update(zip(GUID.findall(block["output"]), GUID.findall(output), strict=False))
            written += [page[end : block.start("output")], output.replace("\r", "").strip("\n") + "\n"]
            end = block.end("output")
    return "".join([*written, page[end:]])


async def test_every_command_of_the_page_gives_the_output_that_it_shows(tmp_path: Path):
    """With the seed that the page names, the ids are the same, too."""
    page = PAGE.read_text()
    assert await as_run(page, tmp_path) == page, (
        "changed on purpose? python -m tests.sandbox.test_sandbox_http_page"
    )


def test_every_call_and_page_is_on_the_page():
    """Nothing that the description has is missing."""
    page = PAGE.read_text()
    operations = re.findall(r"for operation in (.*?); do", page.replace("\\\n", ""))[0].split()
    page += "".join(f"/{operation}/metrics" for operation in operations)
    for path in description()["paths"]:
        assert path.partition("{")[0] in page, path


def test_every_error_of_the_sandbox_itself_is_on_the_page():
    """Each body of an error that needs no fault is shown as it is sent."""
    page = PAGE.read_text()
    for name, response in description()["components"]["responses"].items():
        for example in response["content"]["application/json"]["examples"].values():
            words = example["value"].get("message") or example["value"]["ExceptionType"]
            assert example["summary"].startswith("fault ") or words in page, f"{name}: {words}"


def test_the_start_is_what_the_command_prints():
    """The page's environment variables are the sandbox's."""
    shown = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", PAGE.read_text(), re.MULTILINE))
    assert shown == {
        "LEADSQUARED_HOST": "http://127.0.0.1:8025",
        "LEADSQUARED_SYNC_HOST": "http://127.0.0.1:8025",
        "LEADSQUARED_ACCESS_KEY": Sandbox.access_key,
        "LEADSQUARED_SECRET_KEY": Sandbox.secret_key,
        "LEADSQUARED_API_KEY": Sandbox.api_key,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(asyncio.run(as_run(PAGE.read_text(), Path(name))))
