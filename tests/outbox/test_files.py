"""The files of an outbox: private, on a local disk, and never those of another user."""

from __future__ import annotations

import asyncio
import errno
import logging
import multiprocessing
import os
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import LeadSquared, Outbox, OutboxError
from leadsquared_async.outbox import files, schema
from leadsquared_async.outbox.files import DeliveryLock, file_system_of
from tests.clients import KEYS, LEAD
from tests.outbox.machine import items


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("was_there", [False, True])
async def test_the_files_are_for_their_owner_only(was_there: bool, tmp_path: Path) -> None:
    """File, log, shared memory and lock have mode 0600 under any umask and former mode."""
    path = tmp_path / "leads.db"
    with umask(0):
        if was_there:
            async with Outbox(path) as outbox:
                await outbox.put(LEAD)
                for suffix in ("", "-wal"):
                    shutil.copy(f"{path}{suffix}", f"{path}.copy{suffix}")
            path = Path(f"{path}.copy")
            Path(f"{path}.lock").touch()
            for suffix in ("", "-wal", ".lock"):
                Path(f"{path}{suffix}").chmod(0o644)
        async with LeadSquared(**KEYS, host="http://127.0.0.1:9") as lsq, Outbox(path, lsq) as outbox:
            await outbox.put(LEAD, key="another")
            await asyncio.sleep(0.05)
            modes = {file.name: mode_of(file) for file in tmp_path.glob(f"{path.name}*")}
    wanted = {f"{path.name}{suffix}" for suffix in ("", "-wal", "-shm", ".lock")}
    assert {name: modes.get(name) for name in wanted} == dict.fromkeys(wanted, 0o600)


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.commit()
    connection.close()


def _of_version(version: int) -> Any:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version}")
            connection.executescript(schema.SCHEMA)

    return make


PLACES: dict[str, tuple[Any, str]] = {
    "another program's database": (_foreign, "another program's database: choose another path"),
    **{
        f"an outbox of version {version}": (
            _of_version(version),
            rf"has schema {version}, and this version reads schema 1 only: use the version",
        )
        for version in (-1, 0, 2, 99)
    },
    "no database": (
        lambda path: path.write_bytes(b"Name;Phone\n" * 1000),
        "not a database: choose another path",
    ),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "in a folder that is not there": (
        lambda path: path.parent.rmdir(),
        "No such file or directory: check its folder",
    ),
    "in a folder that is a file": (
        lambda path: (path.parent.rmdir(), path.parent.touch()),
        "Not a directory",
    ),
}


@pytest.mark.parametrize(("make", "words"), PLACES.values(), ids=PLACES)
async def test_a_place_that_cannot_be_used_is_refused_and_left_as_it_was(
    make: Any, words: str, tmp_path: Path
) -> None:
    """The error says what is wrong; another program's file is not changed."""
    path = tmp_path / "folder" / "leads.db"
    path.parent.mkdir()
    make(path)
    if path.is_file():
        path.chmod(0o644)
    before = path.read_bytes() if path.is_file() else None
    outbox = Outbox(path)
    with pytest.raises(OutboxError, match=words) as caught:
        await outbox.open()
    assert caught.value.__cause__ is None
    assert "put" not in str(caught.value)
    if before is not None:
        assert path.read_bytes() == before
        assert mode_of(path) == 0o644
        assert [file.name for file in path.parent.iterdir()] == ["leads.db"]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="for POSIX")
@pytest.mark.parametrize("has_file", [False, True])
async def test_a_folder_that_may_not_be_written_is_refused(has_file: bool) -> None:
    """The error says that this user may not write the folder or the file."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        if has_file:
            async with Outbox(folder / "leads.db") as outbox:
                await outbox.put(LEAD)
        if user == 0:
            for file in (folder, *folder.iterdir()):
                os.chown(file, 65534, 65534)
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(OutboxError, match=r"may write|permissions|may not write"):
            await Outbox(folder / "leads.db").open()
    finally:
        if user == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


MOUNTS = r"""
22 27 0:20 / /proc rw,nosuid shared:12 - proc proc rw
27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
31 27 0:27 / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw
40 27 0:44 / /mnt/share rw,relatime shared:5 - nfs4 server:/share rw
41 40 8:17 / /mnt/share/local rw,relatime - xfs /dev/sdb1 rw
42 27 0:46 / /mnt/with\040space rw,relatime - cifs //server/share rw
43 27 0:47 / /mnt/with\134backslash rw,relatime - fuse.sshfs server: rw
44 27 0:48 / /over rw,relatime - ext4 /dev/sdc rw
45 44 0:49 / /over rw,relatime - overlay overlay rw,lowerdir=/a - b
46 27 0:50 / /caf\303\251 rw,relatime - 9p share rw
48 27 0:52 / /Füße rw,relatime - 9p share rw
broken line
47 27 0:51 / /nothing
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/leads.db", "ext4"),
        ("/dev/shm/leads.db", "tmpfs"),
        ("/mnt/share/leads.db", "nfs4"),
        ("/mnt/share/local/leads.db", "xfs"),
        ("/mnt/shared/leads.db", "ext4"),
        ("/mnt/share/../leads.db", "ext4"),
        ("/mnt/with space/leads.db", "cifs"),
        ("/mnt/with\\backslash/leads.db", "fuse.sshfs"),
        ("/over/leads.db", "overlay"),
        ("/café/leads.db", "9p"),
        ("/Füße/leads.db", "9p"),
        ("/nothing/leads.db", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(path: str, kind: str) -> None:
    """Linux's mountinfo is read with escapes, nested mounts, and one mount over another."""
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_link_is_followed_to_where_the_file_lies(tmp_path: Path) -> None:
    """A link on a local disk to a share is on the share."""
    share = tmp_path / "share"
    share.mkdir()
    (tmp_path / "link").symlink_to(share)
    mounts = (
        f"27 1 259:2 / / rw - ext4 /dev/root rw\n40 27 0:44 / {share.resolve()} rw - nfs server:/share rw\n"
    )
    assert file_system_of(tmp_path / "link" / "leads.db", mounts) == "nfs"
    assert file_system_of(tmp_path / "leads.db", mounts) == "ext4"
    assert file_system_of(tmp_path / "leads.db", "") is None


@pytest.mark.parametrize("kind", sorted(files.NETWORK))
async def test_network_file_systems_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file system, and nothing is written there."""
    monkeypatch.setattr(files, "file_system_of", lambda path: kind)
    with pytest.raises(OutboxError, match=rf"network file system \({kind}\).*local disk"):
        await Outbox(tmp_path / "leads.db").open()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "words"), [("overlay", "mount a volume"), ("tmpfs", "choose a disk"), ("xfs", "")]
)
async def test_a_file_in_memory_or_a_container_is_warned_about(
    kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning is logged at the opening, the snapshot names it, and the outbox works."""
    monkeypatch.setattr(files, "file_system_of", lambda path: kind)
    caplog.set_level(logging.WARNING)
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put(LEAD)
        assert (await outbox.snapshot()).file_system == kind
    assert [words in record.message for record in caplog.records] == ([True] if words else [])


async def test_a_file_that_cannot_be_made_whole_is_left_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next opening creates the schema."""
    path = tmp_path / "leads.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "SCHEMA", schema.SCHEMA + "CREATE NONSENSE")
        with pytest.raises(OutboxError, match="syntax error"):
            await Outbox(path).open()
    async with Outbox(path) as outbox:
        await outbox.put(LEAD)
        assert len(await items(outbox)) == 1


def _put(path: Path, ready: Any, results: Any) -> None:
    async def use() -> None:
        async with Outbox(path) as outbox:
            await outbox.put(LEAD, key=str(os.getpid()))

    ready.wait(10.0)
    try:
        asyncio.run(use())
        results.put("opened")
    except OutboxError as error:
        results.put(str(error))


def test_processes_that_open_a_new_file_at_once_make_it_once(tmp_path: Path) -> None:
    """Each of four processes opens it and puts, and none meets an incomplete schema."""
    path = tmp_path / "leads.db"
    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(4), spawn.Queue()
    children = [spawn.Process(target=_put, args=(path, ready, results)) for _ in range(4)]
    for child in children:
        child.start()
    told = [results.get(timeout=30.0) for _ in children]
    for child in children:
        child.join(10.0)
    assert told == ["opened"] * 4
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (4,)


async def test_too_many_open_files_are_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error does not blame folder or permissions."""

    def refuse(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(OutboxError, match="ulimit -n"):
        files.create(tmp_path / "leads.db")


on_posix = pytest.mark.skipif(sys.platform == "win32", reason="for POSIX")
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


@pytest.mark.slow
@on_posix
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
@pytest.mark.parametrize(("has_file", "delivers"), [(False, True), (True, False)])
async def test_what_is_planted_is_refused_by_name_and_left_as_it_was(
    suffix: str, plant: Callable[[Path, Path], object], has_file: bool, delivers: bool, tmp_path: Path
) -> None:
    """OutboxError names the planted file and leaves its target; without it the outbox opens."""
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


@on_posix
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
async def test_a_lock_that_is_planted_later_is_not_taken(
    plant: Callable[[Path, Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock planted under an open outbox stops no row, and its target keeps bytes and mode."""
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


@on_posix
async def test_a_link_of_ones_own_is_followed(tmp_path: Path) -> None:
    """The files lie beside the link's target."""
    (tmp_path / "there").mkdir()
    (tmp_path / "current.db").symlink_to(tmp_path / "there" / "leads.db")
    async with Outbox(tmp_path / "current.db") as outbox:
        await outbox.put(LEAD)
    assert [file.name for file in (tmp_path / "there").iterdir()] == ["leads.db"]


@on_posix
async def test_an_outbox_that_is_open_twice_keeps_its_locks(tmp_path: Path) -> None:
    """Checks do not open the file: closing it would release SQLite's locks."""
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        await outbox.put(LEAD)
        async with Outbox(path) as other:
            await other.put(LEAD)
        locks = Path("/proc/locks").read_text() if sys.platform == "linux" else ""
        inode = path.stat().st_ino
        assert not locks or any(line.split()[5].endswith(f":{inode}") for line in locks.splitlines())


@on_posix
async def test_another_name_that_an_open_outbox_gets_stops_nothing(tmp_path: Path) -> None:
    """A hard link that a backup makes stops no row; only the next opening rejects it."""
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
