"""The files of an outbox: private, on a local disk, and with a lock for the one process that delivers."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from leadsquared_async.errors import ConfigurationError, OutboxError

__all__ = [
    "DeliveryLock",
    "create",
    "file_system_of",
    "filelock",
    "files_of",
    "identity_of",
    "make_private",
    "place_of",
]

with suppress(ImportError):
    # Early, since filelock stops its locks around a fork, and hooks before a fork run in the reverse of their
    # order: one of the caller's that closes an outbox has to come before filelock's.
    import_module("filelock")

PRIVATE = 0o600

NETWORK = (
    frozenset({"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4"})
    | {"smb3", "smbfs", "virtiofs"}
    | {"fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
    | {"fakeowner", "fuse.grpcfuse"}  # a folder of the host in Docker Desktop: locks do not hold there
)
"""File systems on which SQLite's locks and shared memory do not hold (sqlite.org/wal.html)."""

VOLATILE = {
    "overlay": "a container's writable layer, which is gone with the container: mount a volume",
    "tmpfs": "memory, which is gone with the machine: choose a disk",
    "ramfs": "memory, which is gone with the machine: choose a disk",
}


_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


def create(path: Path, given: Path | None = None) -> tuple[str | None, str | None]:
    """Create the file for its owner only, if it is not there.

    Returns its file system, and why it may be gone tomorrow. A link by which it was `given` has to be this
    user's, or root's.

    Raises:
        OutboxError: it lies on a network file system, cannot be created, or it or a file beside it is not
            this user's own.
    """
    if given is not None:
        _check_link(given)
    kind, is_usable, risk = place_of(path)
    if not is_usable:
        raise OutboxError(
            f"{path}: on a network file system ({kind}), where it would be damaged: choose a local disk"
        )
    for file in files_of(path):
        identity_of(file)
    _make(path)
    return kind, risk


def files_of(path: Path) -> list[Path]:
    """An outbox's file and all that SQLite and the lock create beside it."""
    return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".lock")]


def identity_of(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path; None if none does. Raises OutboxError if it is not this user's own.

    It is not opened: to close a file that SQLite has open in this process would give up SQLite's locks.
    """
    try:
        return _own(path, os.lstat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_be_opened(path, error) from None


def make_private(path: Path) -> None:
    """Let only the owner read files that were there; a new log takes the file's mode."""
    if os.name != "posix":
        return
    for file in files_of(path):
        try:
            # What an outbox of this process has open is private already, and is not opened here.
            if identity_of(file) is None or not stat.S_IMODE(os.lstat(file).st_mode) & ~PRIVATE:
                continue
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK)
            try:
                _own(file, os.fstat(descriptor))
                os.fchmod(descriptor, PRIVATE)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            continue  # another process has closed, and taken its log with it
        except OSError as error:
            raise _cannot_be_opened(file, error) from None


_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def _make(path: Path) -> tuple[int, int]:
    """Create a file if there is none; returns its identity."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, PRIVATE)
    except FileExistsError:
        pass
    except OSError as error:
        raise _cannot_be_opened(path, error) from None
    else:
        os.close(descriptor)
    if (identity := identity_of(path)) is None:
        raise _cannot_be_opened(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    return identity


def _check_link(path: Path) -> None:
    try:
        found = os.lstat(path)
    except OSError:
        return  # opening it raises
    if stat.S_ISLNK(found.st_mode) and hasattr(os, "geteuid") and found.st_uid not in {0, os.geteuid()}:
        raise OutboxError(f"{path}: is a link of another user (uid {found.st_uid}): choose another path")


def _own(path: Path, found: os.stat_result) -> tuple[int, int]:
    """Which file it is; raises OutboxError unless it is a regular one, of this user, with one name."""
    if stat.S_ISDIR(found.st_mode):
        raise OutboxError(f"{path}: {os.strerror(errno.EISDIR)}: choose another path")
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
        raise OutboxError(f"{path}: is {what}, and the outbox would write through it: remove it")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise OutboxError(
            f"{path}: belongs to another user (uid {found.st_uid}): run as that user, or choose another path"
        )
    if found.st_nlink > 1:
        raise OutboxError(
            f"{path}: has another hard link, so a file elsewhere would change too: remove that link"
        )
    return found.st_dev, found.st_ino


def _cannot_be_opened(path: Path, error: OSError) -> OutboxError:
    way_out = "check its folder and permissions"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        way_out = "raise ulimit -n, an outbox takes four of them"
    return OutboxError(f"{path}: cannot be opened: {error.strerror}: {way_out}")


def place_of(path: Path) -> tuple[str | None, bool, str | None]:
    """The file system of a path, whether an outbox may lie there, and why it may be gone tomorrow."""
    kind = file_system_of(path)
    return kind, kind not in NETWORK, VOLATILE.get(kind or "")


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """The file system of a path, by the text of Linux's /proc/self/mountinfo; None elsewhere."""
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
    """The package that the lock needs; raises ConfigurationError if it is missing."""
    try:
        return import_module("filelock")
    except ImportError:
        raise ConfigurationError(
            'an outbox needs the package filelock: pip install "leadsquared_async[outbox]"'
        ) from None


class DeliveryLock:
    """Held by the one process that delivers; the kernel releases it when that process dies."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._filelock = filelock()
        self._lock = self._filelock.FileLock(self._path, mode=PRIVATE, thread_local=False)
        self._identity: tuple[int, int] | None = None

    def acquire(self) -> bool:
        """Take it, unless another process has it; raises OutboxError if the lock file cannot be used."""
        _make(self._path)  # or else FileLock would write to whatever lies there
        try:
            self._lock.acquire(timeout=0)
        except self._filelock.Timeout:
            return False
        except (OSError, NotImplementedError, RuntimeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise OutboxError(f"{self._path}: the lock file cannot be used: {why}") from None
        try:
            self._identity = identity_of(self._path)
        except OutboxError:
            self._lock.release()
            raise
        return True

    def is_held(self) -> bool:
        """Whether the lock file is the one that was taken; if it is deleted, others create another."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()
