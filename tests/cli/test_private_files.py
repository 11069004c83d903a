"""Files with personal data."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from leadsquared_async.cli.files.private_files import Draft, open_private


def write(draft: Draft, text: str) -> None:
    with os.fdopen(open_private(draft.part), "w") as file:
        file.write(text)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """Until it is placed its name belongs to what was there; a draft that is left goes."""
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


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """Half a draft of an earlier process is taken away."""
    (tmp_path / ".out.csv.part").write_text("half")
    with Draft(tmp_path / "out.csv") as draft:
        assert not draft.part.exists()


@pytest.mark.parametrize(
    ("there", "new", "name"),
    [
        (None, "a\nb\n", "out.csv"),
        ("a\n", "a\nb\n", "out.csv"),  # nothing of it is lost
        ("a\nb\n", "b\na\n", "out.csv"),
        ("a\nmended\n", "a\nb\n", "out-3.csv"),
    ],
)
def test_a_line_that_stands_nowhere_else_is_kept(
    there: str | None, new: str, name: str, tmp_path: Path
) -> None:
    """A file is replaced only by one that has all of its lines; else the new one has a number."""
    path, second = tmp_path / "out.csv", tmp_path / "out-2.csv"
    second.write_text("mended as well\n")
    if there is not None:
        path.write_text(there)
    with Draft(path) as draft:
        write(draft, new)
        assert draft.place_and_keep().name == name
    assert (tmp_path / name).read_text() == new
    assert second.read_text() == "mended as well\n"


def test_a_place_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    """A folder that is not there, or has that name, is refused before anything is sent."""
    with pytest.raises(FileNotFoundError):
        Draft(tmp_path / "nowhere" / "out.csv")
    with pytest.raises(IsADirectoryError):
        Draft(tmp_path)
