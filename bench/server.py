# SPDX-License-Identifier: BSD-2-Clause
"""nginx with one competitor in or behind it."""

from __future__ import annotations

import dataclasses
import grp
import http.client
import os
import pwd
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from .cells import Cell, Row
from .process import (
    BenchError,
    Process,
    cpu,
    eventually,
    main_thread_cpu,
)

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / "build"
OUT = Path(os.environ.get("BENCH_OUT") or BUILD / "bench")
NGINX = os.environ.get("NGINX_BIN") or "/usr/sbin/nginx"
DEBIAN_MODULES = Path("/usr/lib/nginx/modules")


@dataclasses.dataclass(frozen=True)
class Cpu:
    """Nanoseconds: nginx's thread; the runtimes' threads or processes."""

    nginx: int
    python: int

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.nginx - other.nginx, self.python - other.python)


def modules() -> Path:
    said = subprocess.run(
        [NGINX, "-V"], check=True, capture_output=True, text=True
    ).stderr
    path = re.search(r"--modules-path=(\S+)", said)
    own = Path(path[1]) if path else DEBIAN_MODULES
    found = (own / "ngx_http_lua_module.so").exists()
    return own if found else DEBIAN_MODULES


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def user() -> str:
    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};"


def environ() -> dict[str, str]:
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(BUILD / "lib"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'python'}",
        "VIRTUAL_ENV": sys.prefix,
    }


class Server:
    """sockets: a folder whose path is short enough for a unix socket."""

    conf = BENCH / "nginx.conf"

    def __init__(self, row: Row, sockets: Path) -> None:
        self.row = row
        self.port = free_port()
        self.folder = OUT / "run" / row.key
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = sockets / f"{row.key}.sock"
        self._python: Process | None = None
        self._nginx: Process | None = None

    def start(self) -> None:
        if self.row.server:
            self._python = self._run(
                [part.format(socket=self.socket) for part in self.row.server],
                "python",
            )
            eventually(self._has_socket, self.row.server[0])
        conf = self.folder / "nginx.conf"
        log = self.folder / "error.log"
        log.unlink(missing_ok=True)
        conf.write_text(self._conf())
        self._nginx = self._run(
            [NGINX, "-e", str(log), "-p", str(self.folder), "-c", str(conf)],
            "nginx",
        )
        eventually(self._listens, "nginx")
        for cell in self.row.cells:
            self.probe(cell)

    def _run(self, command: list[str], name: str) -> Process:
        output = self.folder / f"{name}.out"
        return Process(command, output, environ(), ROOT)

    def _conf(self) -> str:
        values = self._values() | {
            "location": self.row.location.replace(
                "{socket}", str(self.socket)
            ),
            "user": user(),
            "folder": str(self.folder),
            "socket": str(self.socket),
            "port": str(self.port),
        }
        return re.sub(
            r"@(\w+)@", lambda match: values[match[1]], self.conf.read_text()
        )

    def _values(self) -> dict[str, str]:
        """What stands for @…@ in conf, besides what is the same for all."""
        start = self.row.start.replace("{socket}", str(self.socket))
        return {
            "start": start,
            "modules": str(modules()),
            "ours": str(BUILD / "modules" / "ngx_http_lua_ffi_module.so"),
            "bench": str(BENCH),
        }

    def _has_socket(self) -> bool:
        assert self._python
        self._python.check()
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.socket)) == 0

    def _listens(self) -> bool:
        assert self._nginx
        self._nginx.check()
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def probe(self, cell: Cell) -> None:
        """One request, whose answer must be right."""
        expected = b"x" * cell.size
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=9)
        try:
            if cell.echo:
                client.request("POST", cell.path, body=expected)
            else:
                client.request("GET", cell.path)
            response = client.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{cell.name}: {error!r}") from error
        finally:
            client.close()
        if response.status != 200 or body != expected:
            text = body[:300].decode("latin-1").strip()
            raise BenchError(f"{cell.name}: {response.status} {text}")

    @property
    def worker(self) -> int:
        return self.workers[0]

    @property
    def workers(self) -> list[int]:
        assert self._nginx
        return self._nginx.pids()[1:]

    def cpu(self) -> Cpu:
        workers = self.workers
        nginx = sum(map(main_thread_cpu, workers))
        python = sum(map(cpu, workers)) - nginx
        if self._python:
            python += sum(map(cpu, self._python.pids()))
        return Cpu(nginx, python)

    def pids(self) -> list[int]:
        return [pid for p in self._processes() for pid in p.pids()]

    def resident(self) -> int:
        """Bytes of memory that the workers and the runtimes have."""
        pids = [*self.workers, *(self._python.pids() if self._python else [])]
        pages = (Path(f"/proc/{pid}/statm").read_text() for pid in pids)
        size = os.sysconf("SC_PAGE_SIZE")
        return sum(int(text.split()[1]) * size for text in pages)

    def _processes(self) -> list[Process]:
        return [p for p in (self._nginx, self._python) if p]

    def pause(self) -> None:
        for process in self._processes():
            process.pause()

    def resume(self) -> None:
        for process in self._processes():
            process.resume()
        # What timers found overdue, such as idle connections, is done first.
        time.sleep(0.1)

    def stop(self) -> None:
        for process in self._processes():
            process.stop()
