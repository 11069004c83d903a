"""Files with personal data: only the user can read them, and they are complete or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Self, TextIO

from leadsquared_async.cli.exits import CommandFailedError

__all__ = ["Draft", "files_of", "open_private", "without_links"]

PRIVATE = 0o600
SQLITE = b"SQLite format 3"


def files_of(outboxes: Iterable[Path]) -> list[Path]:
    """All files of these outboxes."""
    places = [place for path in outboxes for place in (path, without_links(path))]
    return [Path(f"{place}{suffix}") for place in places for suffix in ("", "-wal", "-shm", ".lock")]


def open_private(path: Path, encoding: str = "utf-8") -> TextIO:
    """Create a file that only the user can read, without newline translation.

    A byte of a file's name that is not UTF-8 is written as an escape, such as \\udcff.
    """

    def created(name: str, how: int) -> int:
        return os.open(name, how, PRIVATE)

    return open(path, "x", encoding=encoding, errors="backslashreplace", newline="", opener=created)


def without_links(path: Path) -> Path:
    """Follow links; unlike in `Path.resolve`, a cycle of links is not an error."""
    return Path(os.path.realpath(path))


class Draft:
    """A file that has a temporary name until it is complete; a context manager that deletes the rest.

    Write to `part`. The path must not be one of `others`. In place of a file of `beside` it gets a numbered
    name. With `begins`, an existing file is replaced only if it begins with one of these, that is, if the
    option `written_by` wrote it.
    """

    def __init__(
        self,
        path: Path,
        *,
        others: Iterable[Path] = (),
        beside: Iterable[Path] = (),
        begins: tuple[bytes, ...] | None = None,
        written_by: str = "--out",
    ) -> None:
        self.given = path
        self._written_by = written_by
        self._beside = list(beside)
        self._path = without_links(path)
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self.part = self._path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        if any(_is_same(self._path, other) for other in others):
            raise CommandFailedError(f"{path}: is the run's own input or outbox: choose another name")
        self._check_what_is_there(begins)
        try:
            open_private(self.part).close()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def place(self, loses: Callable[[Path, Path], bool] = lambda _there, _new: False) -> Path:
        """Replace the file there, or use a numbered name if that file loses something; returns the name."""
        return self._move(loses)[0]

    def place_and_keep(self) -> Path:
        """Replace a file that nobody edited and that loses no line; otherwise use a numbered name.

        A digest in a hidden file beside it shows whether a file was edited.
        """
        mine, digest = _lines(self.part), _digest(self.part)
        given, place = self._move(lambda there, _: not (_is_unedited(there) and _lines(there) <= mine))
        _note(place).unlink(missing_ok=True)
        with open_private(_note(place)) as file:
            file.write(digest)
        return given

    def _move(self, loses: Callable[[Path, Path], bool]) -> tuple[Path, Path]:
        """Give it the first possible name, which is returned as given and with links followed."""
        for given, place in self._names(loses):
            try:
                self.part.replace(place)
            except PermissionError:  # on Windows, if another program has that file open
                if not os.path.lexists(place):
                    raise
            else:
                return given, place
        raise AssertionError  # numbers do not end

    def _names(self, loses: Callable[[Path, Path], bool]) -> Iterator[tuple[Path, Path]]:
        for number in count(1):
            numbered = (
                one if number == 1 else one.with_stem(f"{one.stem}-{number}")
                for one in (self.given, self._path)
            )
            given, path = numbered
            is_free = not os.path.lexists(path) or not loses(path, self.part)
            if is_free and not any(_is_same(path, other) for other in self._beside):
                yield given if without_links(given) == path else path, path

    def _check_what_is_there(self, begins: tuple[bytes, ...] | None) -> None:
        path = self.given
        if not os.path.lexists(self._path):
            return
        if not self._path.is_file():
            raise CommandFailedError(f"{path}: exists and is not a regular file: choose another name")
        with self._path.open("rb") as file:
            beginning = file.read(200)
        if beginning.startswith(SQLITE):
            raise CommandFailedError(f"{path}: exists and is a database or outbox: choose another name")
        if begins is not None and beginning and not beginning.startswith(begins):
            raise CommandFailedError(
                f"{path}: exists and was not written with {self._written_by}: choose another name"
            )

    def _clear(self) -> None:
        self.part.unlink(missing_ok=True)


def _is_same(one: Path, other: Path) -> bool:
    return one == without_links(other) or (one.exists() and other.exists() and one.samefile(other))


def _lines(path: Path) -> set[bytes]:
    return set(path.read_bytes().splitlines())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _is_unedited(path: Path) -> bool:
    note = _note(path)
    if not (path.is_file() and note.is_file()):
        return False
    return note.read_text(encoding="ascii", errors="replace") == _digest(path)
