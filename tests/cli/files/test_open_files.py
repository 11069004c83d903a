"""On Windows, a file that another program has open cannot be replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from leadsquared_async.cli.files.private_files import Draft


@pytest.fixture
def open_in_a_spreadsheet(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let nobody replace a file from now on."""
    replace, is_open = os.replace, set[str]()

    def refuse(source: Path, place: Path) -> None:
        if str(place) in is_open:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(place))
        replace(source, place)

    monkeypatch.setattr(os, "replace", refuse)
    return lambda path: is_open.add(str(path))


@pytest.mark.parametrize("keeps", [False, True], ids=["--out", "--rejects"])
def test_outcomes_get_a_numbered_name(
    open_in_a_spreadsheet: Callable[[Path], None], tmp_path: Path, *, keeps: bool
) -> None:
    """Nothing is lost, and the file in the spreadsheet stays as it was."""
    path = tmp_path / "out.csv"
    for text, name in (("old\n", "out.csv"), ("old\nnew\n", "out-2.csv"), ("old\nnew\nnewer\n", "out-2.csv")):
        with Draft(path) as draft:
            draft.part.write_text(text)
            place = draft.place_and_keep() if keeps else draft.place()
        assert (place.name, place.read_text()) == (name, text)
        open_in_a_spreadsheet(path)
    assert path.read_text() == "old\n"
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_without_rights_still_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another name would not help there."""

    def refuse(_source: Path, place: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(place))

    with Draft(tmp_path / "out.csv") as draft:
        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(PermissionError):
            draft.place()
