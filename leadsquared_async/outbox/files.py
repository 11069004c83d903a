"""Where an outbox's file lies: for nobody else to read, on a disk that keeps it, with one who delivers."""

from __future__ import annotations

import errno
import os
import re
import stat
from importlib import import_module
from pathlib import Path
from types import ModuleType

from leadsquared_async.errors import ConfigurationError, OutboxError

__all__ = ["DeliveryLock", "create", "file_system_of", "filelock", "make_private", "volatile"]

PRIVATE = 0o600

NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "fakeowner",  # a folder of the host in Docker Desktop: locks do not hold there
        "fuse.grpcfuse",  # the same, in its older versions
        "fuse.davfs",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "virtiofs",
    }
)
"""File systems on which SQLite's locks and shared memory do not hold (sqlite.org/wal.html)."""

VOLATILE = {
    "overlay": "a container's writable layer, which is gone with the container: mount a volume",
    "tmpfs": "memory, which is gone with the machine: choose a disk",
    "ramfs": "memory, which is gone with the machine: choose a disk",
}


_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


def create(path: Path) -> str | None:
    """Make the file for its owner only, if it is not there, and return its kind of file system.

    Raises:
        OutboxError: it lies on a network file system, or cannot be made.
    """
    kind = file_system_of(path)
    if kind in NETWORK:
        raise OutboxError(
            f"the outbox is on a network file system ({kind}), where it would be damaged: choose a local disk"
        )
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), PRIVATE)
        os.close(descriptor)
    except OSError as error:
        raise _cannot_be_opened(error) from None
    return kind


def make_private(path: Path) -> None:
    """Keep everybody else from reading an outbox's file that was there; a new log takes the file's mode.

    Raises:
        OutboxError: it is another user's.
    """
    if os.name != "posix":
        return
    try:
        for file in (Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", ".lock")):
            if file.exists() and stat.S_IMODE(file.stat().st_mode) & ~PRIVATE:
                file.chmod(PRIVATE)
    except OSError as error:
        raise _cannot_be_opened(error) from None


def _cannot_be_opened(error: OSError) -> OutboxError:
    way_out = "check its folder and permissions"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        way_out = "raise ulimit -n, an outbox takes four of them"
    return OutboxError(f"the outbox's file cannot be opened: {error.strerror}: {way_out}")


def volatile(kind: str | None) -> str | None:
    """Why what lies on this kind of file system may be gone tomorrow; None if nothing speaks for it."""
    return VOLATILE.get(kind or "")


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """The kind of file system that a path is on; None where the system does not tell.

    Args:
        path: of a file, there or not.
        mounts: the text of Linux's /proc/self/mountinfo; by default this system's.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    wanted = Path(os.path.realpath(path))
    best, kind = -1, None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = Path(
            os.fsdecode(_ESCAPE.sub(lambda octal: bytes([int(octal[1], 8)]), os.fsencode(fields[4])))
        )
        # Of two on one point the later one is seen.
        if wanted.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split()[0]
    return kind


def filelock() -> ModuleType:
    """The package that the lock needs, an extra.

    Raises:
        ConfigurationError: it is missing.
    """
    try:
        return import_module("filelock")
    except ImportError:
        raise ConfigurationError(
            'an outbox needs the package filelock: pip install "leadsquared_async[outbox]"'
        ) from None


class DeliveryLock:
    """Held by the one process that delivers; the kernel lets go of it when that process dies.

    Args:
        path: of the outbox's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._filelock = filelock()
        self._lock = self._filelock.FileLock(self._path, mode=PRIVATE, thread_local=False)
        self._inode = -1

    def acquire(self) -> bool:
        """Take it, if nobody has it."""
        try:
            self._lock.acquire(timeout=0)
            self._inode = self._path.stat().st_ino
        except self._filelock.Timeout:
            return False
        except OSError as error:
            raise OutboxError(f"the outbox's lock file cannot be used: {error.strerror}") from None
        return True

    def is_held(self) -> bool:
        """Whether the lock file is the one that was taken: one that was deleted is made anew by others."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()
