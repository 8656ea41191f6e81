# SPDX-License-Identifier: BSD-2-Clause
"""`python -m resty_ffi serve`, as its users start it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..client import PATIENCE, Response, children_of, eventually
from ..nginx import BUILD, NGINX_BIN, ROOT

COMMAND = [sys.executable, "-m", "resty_ffi", "serve"]
MODULE = BUILD / "modules" / "ngx_http_ffi_module.so"


def environ(folder: Path, more: Mapping[str, str] | None = None) -> Any:
    """Without this suite's own; temporary files are in folder's `tmp`."""
    temporary = folder.parent / f"{folder.name}-tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **{k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
        "PYTHONPATH": str(ROOT / "python"),
        "NGINX_BIN": NGINX_BIN,
        "TMPDIR": str(temporary),
        **(more or {}),
    }


def run(
    folder: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """One that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environ(folder, more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


class Serve:
    """app.py in folder is served, from __enter__ to __exit__.

    At the end nothing of it is left.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        app: str = "app:app",
        launcher: Sequence[str] = (),
        **more: str,
    ) -> None:
        self.folder = folder
        self.temporary = folder.parent / f"{folder.name}-tmp"
        self._output = folder.parent / f"{folder.name}-out"
        self._errors = folder.parent / f"{folder.name}-err"
        self._command = [
            *(*launcher, *COMMAND, app, "--port=0", "--module", str(MODULE)),
            *arguments,
        ]
        self._environ = environ(folder, more)

    def __enter__(self) -> Serve:
        with self._output.open("wb") as out, self._errors.open("wb") as err:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.group = 0
        try:
            self.port = int(self.wait(r"is at http://\S+:(\d+);")[1])
            (self.group,) = children_of(self.process.pid)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *rest: object) -> None:
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGINT)
            assert self.end() == 0
            assert list(self.temporary.iterdir()) == []
        finally:
            self._end()
            print(self.errors())

    def _end(self) -> None:
        for group in {self.process.pid, self.group} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """To all that a terminal would send it to."""
        os.killpg(self.process.pid, number)

    def end(self) -> int:
        """Until it has ended, with all that it has started."""
        code = self.process.wait(PATIENCE)
        eventually(self.is_gone, "no process is left")
        return code

    def is_gone(self) -> bool:
        try:
            os.killpg(self.group, 0)
        except ProcessLookupError:
            return True
        return False

    def write(self, source: str, name: str = "app.py") -> Path:
        """As an editor does that renames what it has written."""
        return write(self.folder, source, name)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def get(self, uri: str = "/") -> Response:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE
        )
        try:
            connection.request("GET", uri)
            answer = connection.getresponse()
            headers = dict(answer.getheaders())
            return Response(answer.status, headers, answer.read())
        finally:
            connection.close()

    def answers(self, text: str) -> Response:
        """Until an answer has that text; none is refused or broken."""
        found = eventually(
            lambda: answer if text in (answer := self.get()).text else None,
            f"an answer of {text!r}",
        )
        assert found
        return found

    def output(self) -> str:
        return self._output.read_text()

    def errors(self) -> str:
        return self._errors.read_text()

    def reloads(self) -> int:
        return self.errors().count("a new worker")

    def wait(self, pattern: str) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.errors())
            assert match or self.process.poll() is None, self.errors()
            return match

        match = eventually(found, pattern)
        assert match
        return match


def write(folder: Path, source: str, name: str = "app.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(textwrap.dedent(source))
    new.rename(file)
    return file


def wsgi(expression: str) -> str:
    """The source of an application that answers so."""
    return f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str({expression}).encode()]
"""
