"""Files with personal data: for nobody else to read, and whole or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Self

__all__ = ["Draft", "open_private"]

PRIVATE = 0o600


def open_private(path: Path) -> int:
    """The descriptor of a new file, to be written.

    Raises:
        OSError: it cannot be made, or is there.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)


class Draft:
    """A file that is written under another name until it is whole; a context manager that clears up.

    Args:
        path: of the file.

    Attributes:
        part: what to write to; nothing is there at first.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.part = path.with_name(f".{path.name}.part")
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self._clear()  # what a process that was killed has left
        os.close(open_private(self.part))
        self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def place(self) -> Path:
        """Put it in the place of the file that is there."""
        self.part.replace(self._path)
        return self._path

    def place_and_keep(self) -> Path:
        """Put it in the place of a file of which no line is lost by that, or beside one that may be mended.

        Returns:
            Where it is: the file's own name, or one with a number.
        """
        mine = _lines(self.part)
        place = next(path for path in self._names() if not path.exists() or _lines(path) <= mine)
        self.part.replace(place)
        return place

    def _names(self) -> Iterator[Path]:
        yield self._path
        for number in count(2):
            yield self._path.with_stem(f"{self._path.stem}-{number}")

    def _clear(self) -> None:
        self.part.unlink(missing_ok=True)


def _lines(path: Path) -> set[bytes]:
    return set(path.read_bytes().splitlines())
