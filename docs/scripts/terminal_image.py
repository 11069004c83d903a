"""Draw the command line at work, checking a file with mistakes: `python docs/scripts/terminal_image.py`."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from leadsquared_async.sandbox import Sandbox
from leadsquared_async.testing import environment_of

IMAGE = Path(__file__).parents[1] / "images" / "check.svg"
COMMAND = 'leadsquared check leads.csv --map "E-mail=EmailAddress"'
ROWS = """\
FirstName,E-mail,Phone,mx_Ctiy,Source
Asha,asha.verma@example.com,+91-9988776655,Pune,Website
Bret,bret.lee@example,+91-9988776656,Delhi,Website
Meera,meera.nair@example.com,12,Kochi,Facbook
"""
FONT_OF_ANOTHER_HOST = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


async def main() -> None:
    async with Sandbox(attributes="account") as sandbox:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "leads.csv").write_text(ROWS)
            ran = await asyncio.create_subprocess_shell(
                f"{sys.executable} -m {COMMAND.replace('leadsquared', 'leadsquared_async', 1)}",
                cwd=folder,
                env={**os.environ, **environment_of(sandbox), "FORCE_COLOR": "1", "COLUMNS": "94"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            shown, _ = await ran.communicate()
    console = Console(record=True, width=94, file=io.StringIO())
    console.print(Text(f"$ {COMMAND}\n"), Text.from_ansi(shown.decode()), sep="")
    IMAGE.write_text(FONT_OF_ANOTHER_HOST.sub("", console.export_svg(title="", unique_id="check")))


if __name__ == "__main__":
    asyncio.run(main())
