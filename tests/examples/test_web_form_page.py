"""docs/web-form.md: its form and its outcomes, run as a reader runs them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from leadsquared_async.sandbox import Sandbox
from tests.examples.programs import EXAMPLES, browser, running

pytestmark = pytest.mark.slow

PAGE = (EXAMPLES.parent / "web-form.md").read_text()
(FORM,) = re.findall(r"^```python\n(import logging\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(OUTCOMES,) = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def with_outcomes() -> str:
    """The form with the other lifespan, and an id of the caller's own for each lead."""
    imports, separator, lifespan = OUTCOMES.partition("\n\n")
    form, found = re.subn(
        r"^@asynccontextmanager\n.*?^app = ", f"{lifespan}\napp = ", FORM, flags=re.MULTILINE | re.DOTALL
    )
    assert (found, separator) == (1, "\n\n")
    key = 'key=f"form-{token}"'
    assert key in form
    return f"{imports}\n{form.replace(key, f'{key}, reference=str(token)')}"


@pytest.mark.parametrize("form", [FORM, with_outcomes()], ids=["form", "outcomes"])
async def test_a_form_is_sent(form: str, tmp_path: Path) -> None:
    """A form is thanked, an invalid one is refused, and the program says how its lead ended."""
    (tmp_path / "form.py").write_text(form)
    async with (
        Sandbox(processing_rate=60_000) as sandbox,
        running("uvicorn", "form:app", "--port", "{port}", sandbox=sandbox, folder=tmp_path) as program,
        browser(program) as client,
    ):
        token = str(uuid4())
        fields = {"token": token, "name": "Bret", "email": "bret.lee@example.com"}
        assert (await client.post("/", data=fields)).text == "Thank you. We will be in touch."
        refused = await client.post("/", data={**fields, "token": str(uuid4()), "name": "Bret\0"})
        assert refused.status_code == 422
        if form != FORM:
            await program.says(f"{token} confirmed ")
        assert await program.stopped() in {0, -signal.SIGTERM}  # uvicorn ends by the signal that it got


def test_the_outcomes_type_check(tmp_path: Path) -> None:
    """mypy strict accepts what a reader puts together."""
    (tmp_path / "form.py").write_text(with_outcomes())
    checked = subprocess.run(
        (sys.executable, "-m", "mypy", "--strict", "--config-file=", "form.py"),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
