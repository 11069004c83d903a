"""A server in a process of its own, so that its CPU is not counted.

Parent and child speak through pipes: the child prints one line of JSON when it is ready, and another one
when its standard input is closed, which also happens if the parent dies.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parent.parent
END_WITHIN = 10.0


class Process:
    """`python -m module argument ...` for the length of a `with` block.

    Attributes:
        hello: what the child said when it was ready.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._arguments = arguments

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-m", self._module, *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello = self.heard()
        return self

    def heard(self) -> Any:
        """What the child says next, once it does."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended without a word: status {self._child.wait(END_WITHIN)}")
        return json.loads(line)

    def end(self) -> Any:
        """Tell the child to end, and return what it says then."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        return self.heard()

    def kill(self) -> None:
        """End it as a crash would, without a word."""
        self._child.kill()
        self._child.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._child.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def say(what: object) -> None:
    """In the child: print one line for the parent."""
    try:
        print(json.dumps(what), flush=True)
    except BrokenPipeError:
        sys.stderr.close()  # the parent reads no more, which is fine


async def until_input_ends() -> None:
    """In the child: wait until the parent closes standard input."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
