"""What others put in a shared folder under the names of an outbox's files is not written to, nor opened."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leadsquared_async import LeadSquared, Outbox, OutboxError
from leadsquared_async.outbox.files import DeliveryLock
from tests.clients import KEYS, LEAD

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="for POSIX")]

SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock")
STRANGER = 65534


def _socket(place: Path, _victim: Path) -> None:
    here = Path.cwd()
    os.chdir(place.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(here)


def _of_a_stranger(place: Path, _victim: Path) -> None:
    place.touch()
    os.chown(place, STRANGER, STRANGER)


def _open_of_a_stranger(place: Path, victim: Path) -> None:
    _of_a_stranger(place, victim)
    place.chmod(0o666)


PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda place, victim: place.symlink_to(victim),
    "a link to nothing": lambda place, victim: place.symlink_to(victim.with_name("nothing")),
    "a link to itself": lambda place, victim: place.symlink_to(place),
    "another name": lambda place, victim: place.hardlink_to(victim),
    "a pipe": lambda place, victim: os.mkfifo(place),
    "a socket": _socket,
    "a folder": lambda place, victim: place.mkdir(),
    "another user's file": _of_a_stranger,
    "another user's file for everybody": _open_of_a_stranger,
}
NEEDS_ROOT = {_of_a_stranger, _open_of_a_stranger}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
@pytest.mark.parametrize(("has_file", "delivers"), [(False, True), (True, False)])
async def test_what_is_planted_is_refused_by_name_and_left_as_it_was(
    suffix: str,
    plant: Callable[[Path, Path], object],
    has_file: bool,
    delivers: bool,
    tmp_path: Path,
) -> None:
    """Each kind of plant under each name, before a new and a known outbox: OutboxError names the file; what
    it leads to keeps its bytes and its mode, and nothing is made elsewhere. Without it, the outbox opens."""
    if plant in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path, victim = tmp_path / "shared" / "leads.db", tmp_path / "victim"
    path.parent.mkdir()
    victim.write_text("precious")
    victim.chmod(0o644)
    if has_file:
        async with Outbox(path) as outbox:
            await outbox.put(LEAD, key="first")
    place = Path(f"{path}{suffix}")
    kept = path.with_name("kept")
    if place.exists():
        place.rename(kept)
    plant(place, victim)
    is_link = place.is_symlink()
    before = os.lstat(place)
    if suffix == "" and is_link:  # the outbox lies where this user's own link leads
        os.lchown(place, STRANGER, STRANGER)
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
    async with LeadSquared(**KEYS, host="http://127.0.0.1:9") as lsq:
        outbox = Outbox(path, lsq if delivers else None)
        with pytest.raises(OutboxError, match=r"link|regular|belongs|Is a directory") as caught:
            await outbox.open()
        assert place.name in str(caught.value)
        assert caught.value.__cause__ is None
        assert victim.read_text() == "precious"
        assert stat.S_IMODE(victim.stat().st_mode) == 0o644
        assert os.lstat(place).st_ino == before.st_ino
        assert stat.S_IMODE(os.lstat(place).st_mode) == stat.S_IMODE(before.st_mode)
        assert {file.name for file in tmp_path.iterdir()} == {"shared", "victim"}
        place.rmdir() if place.is_dir() and not is_link else place.unlink()
        if kept.exists():
            kept.rename(place)
        async with Outbox(path, lsq if delivers else None) as again:
            assert (await again.put(LEAD, key="first")).is_new != has_file


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
async def test_a_lock_that_is_planted_later_is_not_taken(
    plant: Callable[[Path, Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Put while an outbox is open: its rows are put and erased, and the victim keeps its bytes and mode."""
    if plant in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path, victim = tmp_path / "leads.db", tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    async with Outbox(path) as outbox:
        plant(Path(f"{path}.lock"), victim)
        await outbox.put({"Phone": "1"})
        assert await outbox.forget(Phone="1") == 1
        assert await outbox.purge(0.0) == 0
        with pytest.raises(OutboxError, match=r"leads.db.lock"):
            DeliveryLock(path).acquire()
    assert victim.read_text() == "precious"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert sum("log could not be emptied" in line for line in caplog.messages) == 1


async def test_a_link_of_ones_own_is_followed(tmp_path: Path) -> None:
    """The files lie beside what it leads to."""
    (tmp_path / "there").mkdir()
    (tmp_path / "current.db").symlink_to(tmp_path / "there" / "leads.db")
    async with Outbox(tmp_path / "current.db") as outbox:
        await outbox.put(LEAD)
    assert [file.name for file in (tmp_path / "there").iterdir()] == ["leads.db"]


async def test_an_outbox_that_is_open_twice_keeps_its_locks(tmp_path: Path) -> None:
    """What is checked is not opened: to close it would free SQLite's locks, and another process that closes
    last would take the log away."""
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        await outbox.put(LEAD)
        async with Outbox(path) as other:
            await other.put(LEAD)
        locks = Path("/proc/locks").read_text() if sys.platform == "linux" else ""
        inode = path.stat().st_ino
        assert not locks or any(line.split()[5].endswith(f":{inode}") for line in locks.splitlines())


async def test_another_name_that_an_open_outbox_gets_stops_nothing(tmp_path: Path) -> None:
    """As a backup makes it: rows are put, the lock is still held, and only the next opening refuses it."""
    path = tmp_path / "leads.db"
    lock = DeliveryLock(path)
    assert lock.acquire()
    async with Outbox(path) as outbox:
        for suffix in ("", ".lock"):
            Path(f"{path}{suffix}.copy").hardlink_to(f"{path}{suffix}")
        assert (await outbox.put(LEAD)).is_new
        assert lock.is_held()
    with pytest.raises(OutboxError, match="another hard link"):
        await Outbox(path).open()
    Path(f"{path}.lock").unlink()
    assert not lock.is_held()
    lock.release()
