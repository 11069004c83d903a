"""Files with personal data."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files.private_files import Draft, files_of, open_private
from tests.cli.commands import names_in


def write(draft: Draft, text: str) -> None:
    with open_private(draft.part) as file:
        file.write(text)


def test_a_file_is_complete_or_absent(tmp_path: Path) -> None:
    """A draft does not replace the file until it is placed; an unplaced draft is deleted."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    with Draft(path) as draft:
        write(draft, "half")
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == "old"
    with Draft(path) as draft:
        write(draft, "whole")
        assert draft.place() == path
    assert path.read_text() == "whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_drafts_of_one_file(tmp_path: Path) -> None:
    """Two drafts have different names, and the last one that is placed stays."""
    path = tmp_path / "out.csv"
    with Draft(path) as one, Draft(path) as two:
        write(one, "one")
        with Draft(path):
            pass
        write(two, "two")
        one.place()
        two.place()
    assert path.read_text() == "two"
    assert names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/null"), lambda path: path.symlink_to(path)]
)
def test_only_a_regular_file_is_replaced(make: Callable[[Path], None], tmp_path: Path) -> None:
    """A pipe or a device, also behind a link, is neither opened nor replaced."""
    path = tmp_path / "out.csv"
    make(path)
    with pytest.raises(CommandFailedError, match="not a regular file"):
        Draft(path)


def test_a_link_stays_one(tmp_path: Path) -> None:
    """The target of a link is written, and the link stays."""
    (tmp_path / "folder").mkdir()
    path, target = tmp_path / "out.csv", tmp_path / "folder" / "target.csv"
    path.symlink_to(target)
    for place in (Draft.place, Draft.place_and_keep):
        with Draft(path) as draft:
            write(draft, place.__name__)
            place(draft)
        assert path.is_symlink()
        assert target.read_text() == place.__name__
        target.unlink()


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("SQLite format 3\0", "database or outbox"),
        ("mine", "not written with --out"),
        ("beginning", None),
        ("", None),
    ],
)
def test_only_what_was_written_so_is_replaced(there: str, said: str | None, tmp_path: Path) -> None:
    """A database, and a file that begins differently, are not replaced."""
    path = tmp_path / "out.csv"
    path.write_text(there)
    with nullcontext() if said is None else pytest.raises(CommandFailedError, match=said):
        Draft(path, begins=(b"begin",))


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
def test_no_file_of_an_outbox_is_replaced(suffix: str, tmp_path: Path) -> None:
    """No file of an outbox is replaced, whether or not it exists."""
    outbox, link = tmp_path / "leads.outbox", tmp_path / "link"
    link.symlink_to(outbox)
    for named in (outbox, link):
        with pytest.raises(CommandFailedError, match="input or outbox"):
            Draft(Path(f"{outbox}{suffix}"), others=files_of([named]))


@pytest.mark.parametrize(
    ("there", "new", "name"),
    [
        (None, "a\nb\n", "out.csv"),
        ("a\n", "a\nb\n", "out.csv"),  # nothing of it is lost
        ("a\nb\n", "b\na\n", "out.csv"),
        ("a\nc\n", "a\nb\n", "out-3.csv"),
    ],
)
def test_no_line_is_lost(there: str | None, new: str, name: str, tmp_path: Path) -> None:
    """A file is replaced only by one with all of its lines; otherwise the new one has a number."""
    path, second = tmp_path / "out.csv", tmp_path / "out-2.csv"
    second.write_text("mended as well\n")
    if there is not None:
        with Draft(path) as draft:
            write(draft, there)
            draft.place_and_keep()
    with Draft(path) as draft:
        write(draft, new)
        assert draft.place_and_keep().name == name
    assert (tmp_path / name).read_text() == new
    assert second.read_text() == "mended as well\n"


@pytest.mark.parametrize("edited", ["a\n", "", "a\nmended\n"])
def test_a_file_that_somebody_has_edited_is_kept(edited: str, tmp_path: Path) -> None:
    """An edited file is not replaced, also if a line was only removed."""
    path = tmp_path / "out.csv"
    for name in ("out.csv", "out-2.csv"):
        with Draft(path) as draft:
            write(draft, "a\nb\n")
            assert draft.place_and_keep().name == name
        path.write_text(edited)
    assert path.read_text() == edited


def test_an_unwritable_place_raises_at_once(tmp_path: Path) -> None:
    """A missing folder, or a folder with that name, raises before anything is sent."""
    with pytest.raises(FileNotFoundError):
        Draft(tmp_path / "nowhere" / "out.csv")
    with pytest.raises(IsADirectoryError):
        Draft(tmp_path)


@pytest.mark.parametrize("path", ["/", ".", "no-folder/report.md", "x" * 250])
def test_a_path_that_cannot_be_written_is_named_as_it_was_given(path: str) -> None:
    """The system's error is about the path of the option, not about the draft beside it."""
    with pytest.raises(OSError, match=r".") as caught:
        Draft(Path(path))
    assert caught.value.filename == str(Path(path))
