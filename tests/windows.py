"""Run a program on Linux without what Windows lacks: `python -m tests.windows MODULE ARGUMENT...`.

The program then runs as on Windows: modules and attributes that only Unix has are missing; the event loop has
no signal handlers and no readers; the monotonic clock ticks every 15.6 ms; open files cannot be replaced or
deleted; temporary files have a name; a released lock file is deleted; standard streams end lines with \\r\\n;
typer sees Windows.
`os.name`, `sys.platform` and the sockets stay those of Linux: a test of what depends on them patches that.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import io
import math
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import time
from asyncio import selector_events
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.virtual import STEP

MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
ATTRIBUTES: dict[ModuleType, str] = {
    os: """chown confstr fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid
        getpgrp getpriority getresuid getsid getuid killpg lchown mkfifo mknod nice openpty posix_spawn
        pread pwrite register_at_fork sched_getaffinity sched_yield sendfile setegid seteuid setgid setpgid
        setsid setuid statvfs sysconf tcgetpgrp uname wait wait3 wait4 waitid O_CLOEXEC O_DIRECTORY
        O_NOFOLLOW O_NONBLOCK O_SYNC""",
    signal: """SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH
        alarm pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait""",
    select: "epoll poll",
    socket: "AF_UNIX CMSG_LEN MSG_DONTWAIT SO_REUSEPORT",
    time: "CLOCK_BOOTTIME CLOCK_MONOTONIC clock_gettime tzset",
    asyncio: "open_unix_connection start_unix_server",
}
# They decide by `sys.platform`, so they are imported while the system is whole.
LIBRARIES = (
    *(
        "anyio._backends._asyncio",
        "concurrent.futures.thread",
        "filelock",
        "httpx",
        "logging",
        "multiprocessing",
    ),
    *(
        "openpyxl",
        "opentelemetry.trace",
        "platform",
        "random",
        "redis.asyncio",
        "rich.console",
        "rich.progress",
    ),
    *("shutil", "starlette.responses", "subprocess", "taskiq_redis", "tenacity", "typer", "uvicorn", "uuid"),
)


def _unsupported(*_: object, **__: object) -> Any:
    raise NotImplementedError


class Loop(selector_events.BaseSelectorEventLoop):
    """Like asyncio's loop on Windows, it has neither signal handlers nor readers nor Unix sockets."""

    add_reader = add_writer = _unsupported


def pretend() -> None:
    """Remove it from this process."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    whole = SimpleNamespace(**vars(os))
    for name, module in list(sys.modules.items()):
        if name.startswith("filelock") and hasattr(module, "os"):
            module.os = whole  # it locks as on Linux
    signal.SIGBREAK = signal.SIGUSR1  # type: ignore[attr-defined]
    socket.socketpair = partial(socket.socketpair, socket.AF_UNIX)  # Windows makes one of TCP sockets
    for module, names in ATTRIBUTES.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    asyncio.set_event_loop_policy(_policy())
    _tick()
    _refuse_open_files()
    _hide_proc()
    _delete_released_locks()
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile
    for name in ("click.core", "typer.core"):  # they expand arguments there
        if name in sys.modules:
            sys.modules[name].os = SimpleNamespace(**{**vars(whole), "name": "nt"})  # type: ignore[attr-defined]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(newline="\r\n")


def _policy() -> asyncio.AbstractEventLoopPolicy:
    class Policy(asyncio.DefaultEventLoopPolicy):
        _loop_factory = Loop

    return Policy()


def _tick() -> None:
    real, info = time.monotonic, time.get_clock_info
    time.monotonic = lambda: math.floor(real() / STEP) * STEP

    def coarse(name: Any) -> Any:
        return (
            SimpleNamespace(**{**vars(info(name)), "resolution": STEP}) if name == "monotonic" else info(name)
        )

    time.get_clock_info = coarse


def _refuse_open_files() -> None:
    def unless_open(change: Callable[..., None], place: int) -> Callable[..., None]:
        def changed(*paths: Any, **options: Any) -> None:
            target = os.path.realpath(paths[place])
            for descriptor in Path("/proc/self/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # that of the folder itself
                    if str(descriptor.readlink()) == target:
                        raise PermissionError(errno.EACCES, "The file is used by a process", target)
            change(*paths, **options)

        return changed

    os.replace, os.rename = unless_open(os.replace, 1), unless_open(os.rename, 0)
    os.unlink = os.remove = unless_open(os.unlink, 0)


def _hide_proc() -> None:
    real = io.open

    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
        return real(file, *arguments, **options)

    io.open = opened  # what pathlib calls


def _delete_released_locks() -> None:
    import filelock

    class Lock(filelock.FileLock):  # type: ignore[valid-type,misc]
        def release(self, force: bool = False) -> None:
            was_locked = self.is_locked
            super().release(force)
            if was_locked and not self.is_locked:
                Path(self.lock_file).unlink(missing_ok=True)

    filelock.FileLock = Lock  # type: ignore[misc]


if __name__ == "__main__":
    pretend()
    sys.argv = sys.argv[1:]
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
