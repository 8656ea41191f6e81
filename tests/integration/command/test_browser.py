# SPDX-License-Identifier: BSD-2-Clause
"""examples/chat in a browser, as whoever follows the README sees it."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from ..client import PATIENCE, eventually
from ..nginx import ROOT
from .tool import Serve

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium-headless-shell", "chromium"])),
    None,
)
SCREENSHOTS = ROOT / "build" / "screenshots"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium"),
    pytest.mark.timeout(600),
]


class Page:
    """Driven by the DevTools protocol."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)
        target = self._ask("Target.createTarget", url="about:blank")
        self._session = self._ask(
            "Target.attachToTarget", **target, flatten=True
        )

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        session = getattr(self, "_session", {})
        self._devtools.send(
            json.dumps(
                {"id": number, "method": method, "params": params, **session}
            )
        )
        while True:
            said = json.loads(self._devtools.recv(8 * PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)

    def run(self, code: str) -> Any:
        """What an expression of JavaScript is."""
        result = self._ask(
            "Runtime.evaluate", expression=code, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, code: str) -> None:
        eventually(lambda: self.run(code), code, 4 * PATIENCE)

    def screenshot(self, name: str) -> bytes:
        data = base64.b64decode(self._ask("Page.captureScreenshot")["data"])
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / name).write_bytes(data)
        return data


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[ClientConnection]:
    assert CHROMIUM
    said = folder / "chromium"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [
                CHROMIUM,
                *("--headless", "--no-sandbox", "--disable-gpu"),
                *("--disable-dev-shm-usage", "--remote-debugging-port=0"),
                *("--window-size=800,600", f"--user-data-dir={folder}/user"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:

        def address() -> re.Match[str] | None:
            return re.search(r"ws://\S+", said.read_text())

        found = eventually(address, "Chromium listens", 8 * PATIENCE)
        assert found
        with connect(found[0], max_size=None) as devtools:
            yield devtools
    finally:
        # all of its processes: one that is starting outlives its parent
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


SAY = """
document.querySelector("form").elements.name.value = {name};
document.querySelector("form").elements.line.value = {line};
document.querySelector("button").click();
"""
LINES = "[...document.querySelectorAll('li')].map(item => item.textContent)"
OPEN = "typeof socket == 'object' && socket.readyState == WebSocket.OPEN"


def test_the_chat(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "chat", folder)
    with Serve(folder, "--watch") as served, browser(tmp_path) as devtools:
        pages = [Page(devtools) for _ in range(2)]
        for page in pages:
            page.open(f"http://127.0.0.1:{served.port}/")
            page.wait(OPEN)
        ann, bob = pages
        empty = ann.screenshot("chat-empty.png")
        lines = []
        for page, name, line in (
            (ann, "ann", "Is anybody <b>there</b>?"),
            (bob, "bob", "Yes: Zoë & I 👋"),
        ):
            say = SAY.format(name=json.dumps(name), line=json.dumps(line))
            page.run(say)
            lines.append(f"{name}: {line}")
            for each in pages:
                each.wait(f"{LINES}.length == {len(lines)}")
                assert each.run(LINES) == lines
        full = ann.screenshot("chat.png")
        assert full.startswith(b"\x89PNG")
        assert full != empty

        # another worker, to which the page connects by itself
        with (folder / "app.py").open("a") as file:
            file.write("\nsaid.append('a new worker')\n")
        for page in pages:
            page.wait(f"{LINES}[0] == 'a new worker' && {OPEN}")
        assert served.reloads() == 1
