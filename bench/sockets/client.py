# SPDX-License-Identifier: BSD-2-Clause
"""Runs client.c, whose WebSockets echo or idle."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

# s until all are open
PATIENCE = 60
HERE = Path(__file__).resolve().parent


class ClientError(Exception):
    """The WebSockets cannot be opened."""


def build(program: Path) -> Path:
    compiler = (os.environ.get("CC") or "gcc").split()
    subprocess.run(
        [
            *(*compiler, "-std=c11", "-D_GNU_SOURCE", "-O2"),
            *("-Wall", "-Wextra", "-Werror", "-o", str(program)),
            str(HERE / "client.c"),
        ],
        check=True,
    )
    return program


class Client:
    """size: of a message; 0: they idle."""

    def __init__(
        self,
        program: Path,
        address: int | Path,
        connections: int,
        size: int,
        *,
        soak: bool = False,
    ) -> None:
        command = [str(program), str(address), str(connections), str(size)]
        self._process = subprocess.Popen(
            [*command, *["soak"] * soak],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        late = threading.Timer(PATIENCE, self._process.kill)
        late.start()
        said = self._process.stdout.readline()
        late.cancel()
        if said != "ready\n":
            self.kill()
            assert self._process.stderr
            said = self._process.stderr.read().partition("\n")[0].strip()
            raise ClientError(f"the WebSockets do not open: {said}")

    def count(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self, patience: float = 60) -> dict[str, int]:
        said, _ = self._process.communicate("\n", patience)
        found: dict[str, int] = json.loads(said)
        return found

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
