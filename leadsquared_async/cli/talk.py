"""What a command says: talk goes to standard error, results to standard output."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from leadsquared_async.printable import one_line, printable

__all__ = ["Talk", "discard_results", "logs_told"]

logger = logging.getLogger("leadsquared_async")


LONGEST_LINE = 4000


class Talk:
    """A voice of one command.

    Args:
        as_json: whether the result is for a program.

    Attributes:
        is_heard: whether somebody reads the results; a pipe may be closed, as `head` does.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.is_heard = True
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def say(self, text: str) -> None:
        """Say something beside the result."""
        self.console.print(one_line(text, LONGEST_LINE), soft_wrap=True)

    def ask(self, question: str) -> bool:
        """Ask whoever sits at the terminal; yes where nobody does."""
        if not (self.console.is_terminal and sys.stdin.isatty()):
            return True
        return typer.confirm(question, default=True, err=True)

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """Give the result: the text, or the data as one line of JSON."""
        line = json.dumps(data) if self.as_json else printable(text)
        try:
            if line:
                typer.echo(line)
        except BrokenPipeError:
            self.is_heard = False
            discard_results()


def discard_results() -> None:
    """Let go of a standard output that nobody reads: what is buffered would fail again at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


_SAID_ELSEWHERE = frozenset({"blocked", "unblocked", "no_fields", "rejected", "unknown"})
"""Events of log records that the commands show themselves: the progress shows held leads, and the summary
shows dead letters; the code that asks for the fields says which are missing."""


class _Telling(logging.Handler):
    def __init__(self, talk: Talk) -> None:
        super().__init__(logging.WARNING)
        self._talk = talk

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) not in _SAID_ELSEWHERE:
            self._talk.say(record.getMessage())


@contextmanager
def logs_told(talk: Talk) -> Generator[None]:
    """The package's warnings are said like everything else, as long as the block lasts."""
    handler, propagated = _Telling(talk), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
