"""Lines to paste into the user's shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

__all__ = ["setting_lines"]


def setting_lines(variables: Mapping[str, str]) -> list[str]:
    """The lines that set environment variables: in PowerShell on Windows, elsewhere in a Unix shell.

    Unix shells on Windows, such as Git Bash, set SHELL.
    """
    if os.name == "nt" and "SHELL" not in os.environ:
        texts = {name: value.replace("'", "''") for name, value in variables.items()}
        return [f"$env:{name} = '{text}'" for name, text in texts.items()]
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
