"""HAProxy and nginx on 127.0.0.1 with a rate limit of 25 calls in 5 seconds, where they are on the PATH.

HAProxy counts with `http_req_rate(5s)`, a sliding counter; nginx with `limit_req`, a leaky bucket. Both
answer 429 above the limit, and pass the other calls on. Each runs in a folder of its own.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_WITHIN, END_WITHIN = 10.0, 5.0
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 90s
    timeout server 90s

frontend account
    bind 127.0.0.1:{port}
    stick-table type string size 1k expire 60s store http_req_rate(5s)
    http-request track-sc0 url_param(accessKey)
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 25 }}
    default_backend leadsquared

backend leadsquared
    server one 127.0.0.1:{behind}
"""
NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    limit_req_zone $arg_accessKey zone=account:1m rate=5r/s;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            limit_req zone=account burst=24 nodelay;
            limit_req_status 429;
            proxy_pass http://127.0.0.1:{behind};
        }}
    }}
}}
"""

Command = Callable[[Path], Sequence[str]]
"""The program's arguments, given its file of configuration."""

PROXIES: Mapping[str, tuple[str, Command]] = {
    "haproxy": (HAPROXY, lambda file: ("-db", "-f", str(file))),
    "nginx": (NGINX, lambda file: ("-p", str(file.parent), "-c", str(file), "-e", "stderr")),
}


def version(name: str) -> str | None:
    """Its version; None if it is not installed."""
    if shutil.which(name) is None:
        return None
    said = subprocess.run([name, "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else "?"


@contextmanager
def running(name: str, behind: int, folder: Path) -> Generator[str]:
    """The URL of this proxy in front of a port, for the length of a `with` block."""
    configuration, command = PROXIES[name]
    port = _free_port()
    file = folder / f"{name}.conf"
    file.write_text(configuration.format(port=port, behind=behind))
    process = subprocess.Popen([name, *command(file)])
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
