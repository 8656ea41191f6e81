# SPDX-License-Identifier: BSD-2-Clause
"""A real nginx, with a configuration of the test's own."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from . import checker
from .client import (
    PATIENCE,
    Response,
    UnixConnection,
    children_of,
    eventually,
    is_shutting_down,
    lua_string,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / os.environ.get("BUILD_DIR", "build")
NGINX_BIN = os.environ.get("NGINX_BIN", "/usr/sbin/nginx")
NGINX_SAYS = subprocess.run(
    [NGINX_BIN, "-V"], capture_output=True, text=True
).stderr
NGINX_VERSION = tuple(
    int(word)
    for word in re.findall(r"nginx/([0-9.]+)", NGINX_SAYS)[0].split(".")
)
NGINX_MODULES = Path(os.environ.get("NGINX_MODULES", "/usr/lib/nginx/modules"))
FAULTS = re.compile(
    r"\[(?:alert|emerg|crit)\]|exited on signal|exited with code [1-9]"
    r"|(?:Address|Leak|Thread|UndefinedBehavior)Sanitizer"
    r"|\.[ch]:\d+:\d+: runtime error:"
    r"|Fatal Python error"
)

Self = TypeVar("Self", bound="Nginx")


class LuaError(Exception):
    """The Lua code raised instead of returning."""


class Nginx:
    """Runs from __enter__ to __exit__, which tells whether all was well.

    http, server and main are put into the configuration where their names
    say; `{prefix}` in them becomes the server's own temporary directory.
    `POST /lua` runs the Lua code in the request's body, see lua().
    """

    def __init__(
        self,
        *,
        main: str = "",
        http: str = "",
        server: str = "",
        workers: int = 1,
        master: bool = True,
        lua_path: str | None = None,
        python_path: Sequence[str | Path] = (),
        library_path: Sequence[str | Path] = (),
        environ: Mapping[str, str] | None = None,
        launcher: Sequence[str | Path] = (),
    ) -> None:
        self._launcher = [str(word) for word in launcher]
        self.prefix = Path(tempfile.mkdtemp(prefix="ngx-"))
        self.socket = self.prefix / "http.sock"
        self.error_log = self.prefix / "error.log"
        self.output = self.prefix / "output.txt"
        self.python_dir = self.prefix / "python"
        self.workers = workers
        self.master = master
        self._process: subprocess.Popen[bytes] | None = None
        self._allowed: list[re.Pattern[str]] = []
        self._same_worker = True

        for name in ("logs", "python", "lua"):
            (self.prefix / name).mkdir()
        if lua_path is None:
            lua_path = (
                f"{self.prefix}/lua/?.lua;{HERE}/lua/?.lua;{ROOT}/lua/?.lua;;"
            )
        self._environ = {
            **os.environ,
            "LD_LIBRARY_PATH": _join(*library_path, BUILD / "lib"),
            "PYTHONPATH": _join(
                ROOT / "python", HERE / "python", self.python_dir, *python_path
            ),
            "VIRTUAL_ENV": sys.prefix,
            **checker.environ(self.prefix),
            **(environ or {}),
        }
        names = {
            "LD_LIBRARY_PATH",
            "PYTHONPATH",
            "PYTHONMALLOC",
            "VIRTUAL_ENV",
            *(environ or {}),
        }
        text = CONF.format(
            modules=NGINX_MODULES,
            ours=BUILD / "modules" / "ngx_http_lua_ffi_module.so",
            user=user_directive(),
            workers=workers,
            master="on" if master else "off",
            env="\n".join(f"env {name};" for name in sorted(names)),
            main=main,
            http=http,
            server=server,
            lua_path=lua_path,
            prefix=self.prefix,
            socket=self.socket,
        )
        self.conf = self.prefix / "nginx.conf"
        self.conf.write_text(text.replace("{prefix}", str(self.prefix)))

    # -- life ---------------------------------------------------------

    def __enter__(self: Self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        try:
            if self.running():
                if kind is None:
                    self.check()
                    self.quit()
                    self.wait()
                else:
                    self.kill()
            if kind is None:
                self._check_memory()
                self._check_log(0)
            else:
                print(checker.reports(self.prefix))
                print(f"--- {self.error_log}\n{self.log()[-8000:]}")
        finally:
            self._end()

    def _end(self) -> None:
        if self.running():
            self.kill()
        if not os.environ.get("TEST_KEEP"):
            shutil.rmtree(self.prefix, ignore_errors=True)

    def _command(self) -> list[str]:
        nginx = [NGINX_BIN, "-p", str(self.prefix), "-c", str(self.conf)]
        nginx += ["-e", str(self.error_log)]
        return [*self._launcher, *checker.command(self.prefix), *nginx]

    def test_configuration(self) -> tuple[bool, str]:
        """What `nginx -t` says; instead of running it."""
        try:
            done = subprocess.run(
                [*self._command(), "-t"],
                env=self._environ,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        finally:
            self._end()
        return done.returncode == 0, done.stderr

    def start(self) -> None:
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.prefix,
                start_new_session=True,
            )
        eventually(self._answers, "nginx serves")
        eventually(
            lambda: not self.master or len(self.worker_pids()) == self.workers,
            "all workers",
        )
        self._pids = self.worker_pids()

    def _answers(self) -> bool:
        assert self._process
        code = self._process.poll()
        assert code is None, f"nginx exited with {code}:\n{self.log()}"
        try:
            return self.get("/ping").status == 200
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """The master's, or the only process's."""
        assert self._process
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def worker_pids(self) -> set[int]:
        """Those that take new requests."""
        if not self.master:
            return {self.pid}
        return {pid for pid in self.children() if not is_shutting_down(pid)}

    def children(self) -> set[int]:
        """All workers, also those that finish what they had begun."""
        return children_of(self.pid)

    def worker(self) -> int:
        (pid,) = self.worker_pids()
        return pid

    def resident(self) -> int:
        """KiB of memory that the worker has."""
        status = Path(f"/proc/{self.worker()}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+)", status)
        assert match
        return int(match[1])

    def wait_gone(self, pid: int) -> None:
        """Until that worker has finished what it had begun, and ended."""
        eventually(lambda: pid not in self.children(), f"{pid} ends")

    def wait_successor(self, pid: int) -> None:
        """Until another worker stands in for one that has died."""
        self.expect_other_worker()
        self.wait_gone(pid)
        eventually(
            lambda: len(self.worker_pids()) == self.workers, "a successor"
        )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def quit(self) -> None:
        """What `nginx -s quit` does; wait() for the end."""
        self.expect_other_worker()
        self.signal(signal.SIGQUIT)

    def stop(self) -> None:
        self.expect_other_worker()
        self.signal(signal.SIGTERM)

    def reload(self) -> None:
        """Returns as soon as new workers serve; old ones may live on."""
        old = self.worker_pids()
        self.expect_other_worker()
        self.signal(signal.SIGHUP)
        eventually(
            lambda: len(self.worker_pids() - old) == self.workers,
            "new workers",
        )

    def wait(self, patience: float = PATIENCE) -> None:
        assert self._process
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError("nginx did not end") from None

    def kill(self) -> None:
        """With its workers, also one that it is about to start."""
        assert self._process
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    # -- what it is asked -----------------------------------------------

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.socket))
        return sock

    def request(
        self, method: str, uri: str, body: bytes | None = None
    ) -> Response:
        connection = UnixConnection(self.socket, PATIENCE)
        try:
            connection.request(
                method, uri, body, headers={"Connection": "close"}
            )
            answer = connection.getresponse()
            return Response(
                answer.status, dict(answer.getheaders()), answer.read()
            )
        finally:
            connection.close()

    def get(self, uri: str) -> Response:
        return self.request("GET", uri)

    def post(self, uri: str, body: str | bytes) -> Response:
        raw = body.encode() if isinstance(body, str) else body
        return self.request("POST", uri, raw)

    def lua(self, code: str, uri: str = "/lua") -> list[Any]:
        """Runs code in a content phase; what it returns, as JSON.

        nil is None; strings are latin-1, so that any bytes pass.
        """
        answer = self.post(uri, code)
        assert answer.status == 200, answer
        ok, values = json.loads(answer.body)
        if not ok:
            raise LuaError(*values)
        assert isinstance(values, list)
        return values

    def python(self, code: str) -> str:
        """Runs code on a thread of Python's; str() of its `result`."""
        ok, *rest = self.lua(
            'local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init"))'
            f"return rt:run({lua_string(textwrap.dedent(code))})"
        )
        assert ok is True, rest
        assert isinstance(rest[0], str)
        return rest[0].encode("latin-1").decode()

    def write_python(self, name: str, source: str) -> Path:
        """Puts a file where import finds it."""
        path = self.python_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    # -- what it says ---------------------------------------------------

    def log(self, since: int = 0) -> str:
        texts = []
        for path in (self.output, self.error_log):
            if path.exists():
                texts.append(path.read_text(errors="replace"))
        return "".join(texts)[since:]

    def wait_log(self, pattern: str, since: int = 0) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            return re.search(pattern, self.log(since))

        match = eventually(found, f"{pattern!r} in error.log")
        assert match
        return match

    def count_log(self, pattern: str, since: int = 0) -> int:
        return len(re.findall(pattern, self.log(since)))

    # -- whether it is well ---------------------------------------------

    def allow_log(self, pattern: str) -> None:
        """Lines that match are no fault in this test."""
        self._allowed.append(re.compile(pattern))

    def expect_other_worker(self) -> None:
        self._same_worker = False

    def check(self, since: int = 0) -> None:
        self._check_memory()
        if self._same_worker:
            assert self.worker_pids() == self._pids, "another worker"
        self._check_log(since)

    def _check_log(self, since: int) -> None:
        faults = [
            line
            for line in self.log(since).splitlines()
            if FAULTS.search(line)
            and not any(allowed.search(line) for allowed in self._allowed)
        ]
        assert not faults, "\n".join(faults)

    def _check_memory(self) -> None:
        reports = checker.reports(self.prefix)
        assert not reports, reports

    @contextlib.contextmanager
    def watch(self: Self) -> Iterator[Self]:
        """For a server that tests share: each answers for its own time."""
        since = len(self.log())
        pids = self.worker_pids()
        try:
            yield self
        except BaseException:
            print(checker.reports(self.prefix))
            print(f"--- {self.error_log}\n{self.log(since)[-8000:]}")
            raise
        self._check_memory()
        assert self.worker_pids() == pids, "another worker"
        self._check_log(since)


def _join(*paths: str | Path) -> str:
    return ":".join(str(path) for path in paths)


def user_directive() -> str:
    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(0).pw_name} root;"


CONF = """\
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
load_module "{ours}";
{user}
daemon off;
master_process {master};
worker_processes {workers};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
{env}
{main}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    scgi_temp_path {prefix}/scgi;
    uwsgi_temp_path {prefix}/uwsgi;
    lua_package_path "{lua_path}";
    {http}
    server {{
        listen unix:{socket} backlog=1024;
        {server}
        location = /ping {{
            return 200 "pong";
        }}
        location = /lua {{
            content_by_lua_block {{ require("harness").run() }}
        }}
    }}
}}
"""
