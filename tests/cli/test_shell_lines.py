"""Lines that people paste into their shell."""

from __future__ import annotations

import os

import pytest

from leadsquared_async.cli.shell_lines import setting_lines

VARIABLES = {"KEY": "u$r1", "ODD": "it's"}


@pytest.mark.parametrize(
    ("system", "shell", "lines"),
    [
        ("posix", "/bin/bash", ["export KEY='u$r1'", """export ODD='it'"'"'s'"""]),
        ("nt", None, ["$env:KEY = 'u$r1'", "$env:ODD = 'it''s'"]),
        ("nt", "/usr/bin/bash", ["export KEY='u$r1'", """export ODD='it'"'"'s'"""]),
    ],
)
def test_lines_fit_the_shell(
    system: str, shell: str | None, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PowerShell on Windows, unless Git Bash or the like has set SHELL; quotes keep `$` and `'`."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", system)
        if shell is None:
            patch.delenv("SHELL", raising=False)
        else:
            patch.setenv("SHELL", shell)
        written = setting_lines(VARIABLES)
    assert written == lines
