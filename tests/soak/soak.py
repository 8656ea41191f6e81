# SPDX-License-Identifier: BSD-2-Clause
"""One nginx under all that callers, clients and operators do at a time."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from tests.integration.client import children_of, eventually
from tests.integration.nginx import ROOT, Nginx

HERE = Path(__file__).resolve().parent
CONNECTIONS = 64
RELOAD_S = 1.0
BROKEN_EVERY = 7  # a file that cannot be imported
REFUSAL = "ffi_python3: soaked: RuntimeError: not this one"
EXIT_S = 5  # ffi_exit_timeout
CALL_S = 5  # ffi_timeout
LINGER_S = 30  # lingering_time
STUCK_IN = 100_000  # answers
SLACK_S = 20  # a machine that is busy with other things

HTTP = f"""
    keepalive_requests 5000;
    ffi_timeout {CALL_S}s;
    ffi_exit_timeout {EXIT_S}s;
"""
STREAM = """
        content_by_lua_block { require("soak").stream() }
"""
SERVER = (
    f"""
    client_body_buffer_size 2m;
    location ~ ^/(plain_parts|read|cut|upload)$ {{
        lua_check_client_abort on;
        {STREAM}
    }}
    location ~ ^/(async_parts|stall|upload_threads|write|c)$ {{
        {STREAM}
    }}
"""
    + """
    location / {
        lua_check_client_abort on;
        content_by_lua_block { require("soak").handle() }
    }
    location = /sync {
        content_by_lua_block { require("soak").handle() }
    }
    location = /late {
        content_by_lua_block { require("soak").handle() }
    }
    location = /reload {
        content_by_lua_block { require("soak").reload() }
    }
    location = /usage {
        content_by_lua_block { require("soak").usage() }
    }
"""
)


class Board:
    """What client.c writes and reads; the names are those of board.h."""

    NAMES = (
        *("least", "most", "stop"),
        *("answered", "wrong", "lost", "left", "retried", "bytes", "parts"),
        "stuck",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(8 * len(self.NAMES)))
        with path.open("r+b") as file:
            # stores whole words, which struct does not
            self._words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def __getitem__(self, name: str) -> int:
        return self._words[self.NAMES.index(name)]

    def __setitem__(self, name: str, value: int) -> None:
        self._words[self.NAMES.index(name)] = value

    def counts(self) -> dict[str, int]:
        return {name: self[name] for name in self.NAMES[3:]}


@dataclass(frozen=True)
class Sample:
    """Of the one worker, or of the master."""

    seconds: float
    requests: int
    resident: int  # bytes
    threads: int
    descriptors: int  # of nginx, but for sockets: clients come and go
    processes: int
    heap: int = 0  # bytes that malloc has given out
    fragments: int = 0  # bytes that it keeps between them
    lua: int = 0  # bytes
    blocks: int = 0  # of Python's allocator
    sockets: int = 0
    parted: int = 0  # descriptors of Python's threads, which have their own

    @property
    def rest(self) -> int:
        """Resident, but for what malloc keeps."""
        return self.resident - self.fragments


@dataclass
class Result:
    name: str
    seconds: float = 0
    counts: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    reloads: int = 0
    refused: int = 0  # of those, broken files that were refused
    hups: int = 0
    old_workers: list[float] = field(default_factory=list)  # s to their end
    # sockets of the one worker without clients, before and after
    idle: list[int] = field(default_factory=list)
    log: dict[str, int] = field(default_factory=dict)
    # of the runtime in C, of all workers, where there is one
    parts: dict[str, int] = field(default_factory=dict)
    of_parts: bool = True
    complaints: str = ""
    faults: list[str] = field(default_factory=list)

    def failures(self) -> list[str]:
        """All that may not be, memory excepted; that takes longer to tell."""
        found = list(self.faults)
        for name in ("wrong", "lost"):
            if self.counts.get(name):
                found.append(f"{self.counts[name]} answers {name}")
        answered = self.counts.get("answered", 0)
        if not answered:
            found.append("no answers")
        # a machine that is busy with other things lets threads wait
        stuck = self.counts.get("stuck", 0)
        if stuck * STUCK_IN > answered:
            found.append(f"{stuck} requests refused by a stuck runtime")
        sent, released = self.parts.get("sent"), self.parts.get("released")
        if self.of_parts and (not sent or sent != released):
            found.append(f"{sent} parts sent, {released} released")
        return found


def build(path: Path, *words: str) -> Path:
    """Of its own for each soak: a program that runs is not written to."""
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [*compiler, *flags, "-o", path, *words], check=True, cwd=HERE
    )
    return path


def descriptors(pid: int) -> tuple[int, int]:
    """Those that are no sockets, and sockets."""
    sockets = others = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(path).startswith("socket:"):
                sockets += 1
            else:
                others += 1
    return others, sockets


def parted(pid: int) -> int:
    """Descriptors of that thread of Python's which has most."""
    most = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            # others have nginx's name, and its descriptors
            if (task / "comm").read_text() != "nginx\n":
                most = max(most, len(os.listdir(task / "fd")))
    return most


class Soak:
    """hup_s: seconds between two SIGHUPs; 0 for none, and one worker.

    edit: what is replaced in the app, by what; for tests of the soak.
    """

    # requests that client.c sends, and what says how much memory is in use
    kinds = "lua"
    usage = "/usage"
    # whether the C runtime's parts are counted
    of_parts = True

    def __init__(
        self,
        name: str,
        seconds: float,
        hup_s: float,
        folder: Path,
        edit: tuple[str, str] = ("", ""),
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.hup_s = hup_s
        self.folder = folder.resolve()
        self.log = self.folder / f"{name}.log"
        self.log.write_text("")
        self.result = Result(name, of_parts=self.of_parts)
        self._edit = edit
        self._old: dict[int, float] = {}

    def run(self) -> Result:
        # beside the one of the tests, which says too much in an hour
        self._nginx = self._make_nginx(f"error_log {self.log} notice;")
        self._board = Board(self.folder / f"{self.name}.board")
        self._write(0)
        try:
            with self._nginx:
                if self.hup_s:
                    self._nginx.expect_other_worker()
                self._run()
        except (AssertionError, OSError, HTTPException) as error:
            self.result.faults.append(repr(error))
        self._count_log()
        return self.result

    def _make_nginx(self, log: str) -> Nginx:
        parts = build(
            self.folder / f"{self.name}.parts.so",
            *("-shared", "-fPIC", "-pthread", f"-I{ROOT / 'include'}"),
            "parts.c",
        )
        use = f"init_by_lua_block {{ require('soak').use('{parts}') }}"
        return Nginx(
            main=log,
            http=log + HTTP + use,
            server=SERVER,
            workers=2 if self.hup_s else 1,
            lua_path=f"{HERE}/lua/?.lua;;",
        )

    def _run(self) -> None:
        if self.hup_s:
            self._sampled = self._nginx.pid
            self._with_clients()
            self._wait_old()
            return
        self._reload()
        self._sampled = self._nginx.worker()
        idle = descriptors(self._sampled)[1]
        self._with_clients()
        assert self._nginx.worker_pids() == {self._sampled}, "another worker"
        eventually(
            lambda: descriptors(self._sampled)[1] <= idle,
            "sockets of clients that have gone are closed",
            LINGER_S + SLACK_S,
        )
        self.result.idle = [idle, descriptors(self._sampled)[1]]

    def _with_clients(self) -> None:
        path = self.folder / f"{self.name}.complaints"
        with path.open("wb") as file:
            client = subprocess.Popen(
                [
                    build(
                        self.folder / f"{self.name}.client",
                        *("client.c", "answer.c"),
                    ),
                    self._nginx.socket,
                    *(self._board.path, str(CONNECTIONS), "1", self.kinds),
                ],
                stderr=file,
                stdin=subprocess.DEVNULL,
            )
            try:
                self._disturb()
                self._board["stop"] = 1
                code = client.wait(180)
                assert code == 0, f"the client ended with {code}"
            finally:
                client.kill()
                client.wait()
                self.result.counts = self._board.counts()
                self.result.complaints = path.read_text()

    # -- what happens meanwhile -----------------------------------------

    def _disturb(self) -> None:
        begin = time.monotonic()
        every = max(0.5, self.seconds / 600)
        reload_at = sample_at = 0.0
        hup_at = self.hup_s or self.seconds + 1
        while (now := time.monotonic() - begin) < self.seconds:
            if now >= reload_at:
                reload_at = now + RELOAD_S
                self._reload()
            if now >= hup_at:
                hup_at = now + self.hup_s
                self._hup()
            if now >= sample_at:
                sample_at = now + every
                self._sample(now)
            self._see_old()
            time.sleep(0.05)
        self.result.seconds = now

    def _write(self, version: int, last: str = "") -> None:
        source = (HERE / "app" / "soaked.py").read_text()
        assert source.count("00000000") == 1
        source = source.replace("00000000", f"{version:08d}")
        self._nginx.write_python(
            "soaked.new", source.replace(*self._edit) + last
        ).rename(self._nginx.python_dir / "soaked.py")

    def _reload(self) -> None:
        self.result.reloads += 1
        version = self.result.reloads
        # a new worker would have nothing else to load
        if version % BROKEN_EVERY == 0 and not self.hup_s:
            self._reload_broken(version)
            return
        self._board["most"] = version
        self._write(version)
        answer = self._nginx.get("/reload")
        assert answer.status == 200, answer.text
        if not self.hup_s:
            self._board["least"] = version

    def _reload_broken(self, version: int) -> None:
        """Never answers anything: the board does not know its version."""
        self._write(version, "raise RuntimeError('not this one')\n")
        answer = self._nginx.get("/reload")
        self.result.refused += 1
        assert (answer.status, answer.text) == (500, REFUSAL), answer.text
        self._write(self._board["most"])

    def _hup(self) -> None:
        self.result.hups += 1
        now = time.monotonic()
        for pid in self._nginx.worker_pids():
            self._old.setdefault(pid, now)
        self._nginx.signal(signal.SIGHUP)

    def _see_old(self) -> None:
        if not self._old:
            return
        there = children_of(self._nginx.pid)
        now = time.monotonic()
        for pid, since in list(self._old.items()):
            if pid not in there:
                self.result.old_workers.append(now - since)
                del self._old[pid]
            elif now - since > CALL_S + EXIT_S + SLACK_S:
                raise AssertionError(f"worker {pid} does not leave")

    def _wait_old(self) -> None:
        def gone() -> bool:
            self._see_old()
            return not self._old

        eventually(gone, "old workers end", CALL_S + EXIT_S + 2 * SLACK_S)

    def _sample(self, seconds: float) -> None:
        usage = {}
        if not self.hup_s:
            answer = self._nginx.get(self.usage)
            assert answer.status == 200, answer.text
            words = (int(float(word)) for word in answer.text.split())
            names = ("heap", "fragments", "lua", "blocks")
            usage = dict(zip(names, words, strict=True))
        pid = self._sampled
        status = Path(f"/proc/{pid}/status").read_text()
        others, sockets = descriptors(pid)
        fields = dict(re.findall(r"^(\w+):\s+(\d+)", status, re.MULTILINE))
        self.result.samples.append(
            Sample(
                seconds,
                self._board["answered"],
                int(fields["VmRSS"]) * 1024,
                int(fields["Threads"]),
                others,
                len(self._nginx.children()),
                sockets=sockets,
                parted=parted(pid),
                **usage,
            )
        )

    def _count_log(self) -> None:
        """How often each line is there, whatever numbers are in it."""
        line_of = re.compile(
            r"\[(warn|error|crit|alert|emerg)\] \S+ (?:\*\d+ )?(.*)"
        )
        log = self.result.log
        parts = self.result.parts
        with self.log.open(errors="replace") as lines:
            for line in lines:
                if " parts: " in line:
                    for count, name in re.findall(r"(\d+) ([a-z]+)", line):
                        parts[name] = parts.get(name, 0) + int(count)
                if match := line_of.search(line):
                    text = re.sub(r"\b[0-9a-f]*\d[0-9a-f]*\b", "N", match[2])
                    key = f"[{match[1]}] {text[:100]}"
                    log[key] = log.get(key, 0) + 1
