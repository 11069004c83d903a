"""The files of an outbox: private, on a local disk, with a lock for the process that delivers."""

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
    "has_modes",
    "identity_of",
    "make_private",
    "place_of",
]

with suppress(ImportError):
    # Imported early: filelock stops its locks around a fork, and hooks before a fork run in reverse order of
    # registration. A caller's hook that closes an outbox must run before filelock's.
    import_module("filelock")

PRIVATE = 0o600

NETWORK = (
    frozenset({"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4"})
    | {"smb3", "smbfs", "virtiofs"}
    | {"fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
    | {"fakeowner", "fuse.grpcfuse"}  # a host folder in Docker Desktop, where locks do not work
)
"""File systems on which SQLite's locks and shared memory do not work (sqlite.org/wal.html)."""

VOLATILE = {
    "overlay": "a container's writable layer, which is deleted with the container: mount a volume",
    "tmpfs": "memory, which is lost on a restart: choose a disk",
    "ramfs": "memory, which is lost on a restart: choose a disk",
}


_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


def create(path: Path, given: Path | None = None) -> tuple[str | None, str | None]:
    """Create the file if it does not exist, readable by its owner only.

    Returns its file system, and why the file may not survive a restart, if so. If `given` is a link, it has
    to be this user's or root's.

    Raises:
        OutboxError: it is on a network file system, cannot be created, or it or a file beside it does not
            belong to this user.
    """
    if given is not None:
        _check_link(given)
    kind, is_usable, risk = place_of(path)
    if not is_usable:
        raise OutboxError(
            f"{path}: is on a network file system ({kind}), which would damage it: choose a local disk"
        )
    for file in files_of(path):
        identity_of(file)
    _make(path)
    return kind, risk


def files_of(path: Path) -> list[Path]:
    """An outbox's file and all that SQLite and the lock create beside it."""
    return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".lock")]


def identity_of(path: Path) -> tuple[int, int] | None:
    """The identity of the file at a path, or None. Raises OutboxError if it is not this user's own.

    The file is not opened: closing a file that SQLite has open in this process would release SQLite's locks.
    """
    try:
        return _own(path, os.lstat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_be_opened(path, error) from None


def has_modes() -> bool:
    """Whether files have owners and modes; on Windows they have the rights of their folder."""
    return hasattr(os, "geteuid")


def make_private(path: Path) -> None:
    """Let only the owner read existing files; a new log takes the file's mode."""
    if not has_modes():
        return
    for file in files_of(path):
        try:
            # Files that an outbox of this process has open are private already, and must not be opened here.
            if identity_of(file) is None or not stat.S_IMODE(os.lstat(file).st_mode) & ~PRIVATE:
                continue
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK)
            try:
                _own(file, os.fstat(descriptor))
                os.fchmod(descriptor, PRIVATE)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            continue  # another process has closed the outbox, which deleted the log
        except OSError as error:
            raise _cannot_be_opened(file, error) from None


_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def _make(path: Path) -> tuple[int, int]:
    """Create a file if it does not exist; returns its identity."""
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
    if stat.S_ISLNK(found.st_mode) and has_modes() and found.st_uid not in {0, os.geteuid()}:
        raise OutboxError(
            f"{path}: is a link owned by another user (uid {found.st_uid}): choose another path"
        )


def _own(path: Path, found: os.stat_result) -> tuple[int, int]:
    """The file's identity; raises OutboxError unless it is this user's regular file with one link."""
    if stat.S_ISDIR(found.st_mode):
        raise OutboxError(f"{path}: {os.strerror(errno.EISDIR)}: choose another path")
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
        raise OutboxError(f"{path}: is {what}, and the outbox would write through it: remove it")
    if has_modes() and found.st_uid != os.geteuid():
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
        way_out = "raise ulimit -n; an outbox needs four open files"
    return OutboxError(f"{path}: cannot be opened: {error.strerror}: {way_out}")


def place_of(path: Path) -> tuple[str | None, bool, str | None]:
    """The file system of a path, whether an outbox may be there, and why it may not survive a restart."""
    kind = file_system_of(path)
    return kind, kind not in NETWORK, VOLATILE.get(kind or "")


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """The file system of a path, from Linux's /proc/self/mountinfo; None on other systems."""
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
        # Of two mounts on one point, the later one is visible.
        if wanted.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split()[0]
    return kind


def filelock() -> ModuleType:
    """The `filelock` package; raises ConfigurationError if it is missing."""
    try:
        return import_module("filelock")
    except ImportError:
        raise ConfigurationError(
            'an outbox needs the package filelock: pip install "leadsquared_async[outbox]"'
        ) from None


class DeliveryLock:
    """The lock of the process that delivers; the kernel releases it when that process dies."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._filelock = filelock()
        self._lock = self._filelock.FileLock(self._path, mode=PRIVATE, thread_local=False)
        self._identity: tuple[int, int] | None = None

    def acquire(self) -> bool:
        """Acquire it unless another process has it; raises OutboxError if the lock file cannot be used."""
        _make(self._path)  # otherwise FileLock would write to whatever file is there
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
        """Whether the lock file still exists; if deleted, another process can lock a new one."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def release(self) -> None:
        """Release it."""
        self._lock.release()
