"""The command line, `leadsquared`; it needs the extra `cli`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with the command's status, or 2 if the extra is not installed."""
    try:
        from leadsquared_async.cli.app import app  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        if error.name is None or error.name.startswith("leadsquared_async"):
            raise
        sys.exit(f"the command line needs {error.name}: install leadsquared_async with [cli]")
    app()
