"""The command line, `leadsquared`; it needs the extra `cli`."""

from __future__ import annotations

import gc
import signal
import sys
from io import TextIOWrapper
from typing import NoReturn

from leadsquared_async._version import __version__

__all__ = ["main"]


USAGE, INTERRUPTED = 2, 3  # as in `exits`, which cannot be imported without the extra


def main() -> None:
    """Run the command line; exits with the command's status, 2 without the extra, 3 if it is interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that its encoding lacks becomes \u20b9
            stream.reconfigure(errors="backslashreplace")
    gc.disable()  # it finds nothing while modules are imported, and takes a part of `--help`
    try:
        try:
            from leadsquared_async.cli.app import app  # noqa: PLC0415 - needs the extra
        except ImportError as error:
            if error.name is None or error.name.startswith("leadsquared_async"):
                raise
            _without(error.name)
        except KeyboardInterrupt:
            _interrupted("nothing was sent")
        gc.freeze()
        gc.enable()
        app(windows_expand_args=False)  # a lead's values may have `*`, `%NAME%` or `~` in them
    except KeyboardInterrupt:
        _interrupted("to continue, run the same command again")
    except OSError as error:  # such as --help to a full disk; commands handle their own
        sys.stderr.write(f"leadsquared: {error.strerror or type(error).__name__}\n")
        sys.exit(USAGE)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to interrupt


def _without(package: str) -> NoReturn:
    """Show the version if asked; any other command needs the extra."""
    if sys.argv[1:] == ["--version"]:
        print(__version__)
        sys.exit()
    sys.stderr.write(
        f'leadsquared: this command needs the package {package}: pip install "leadsquared_async[cli]"\n'
    )
    sys.exit(USAGE)


def _interrupted(what: str) -> NoReturn:
    sys.stderr.write(f"leadsquared: interrupted; {what}\n")
    sys.exit(INTERRUPTED)
