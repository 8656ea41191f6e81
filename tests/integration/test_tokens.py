# SPDX-License-Identifier: BSD-2-Clause
"""examples/tokens."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import NewNginx
from .nginx import ROOT, Nginx

EXAMPLE = ROOT / "examples" / "tokens"
# what tells a test that a stream has ended, and how
SPY = """
import tokens as example
from tokens import tokens

async def spied(prompt, model=example.model):
    if prompt == "nothing but this":
        raise ValueError(prompt)
    try:
        async for token in model(prompt):
            yield token
    except BaseException as error:
        print("the model ends:", type(error).__name__, flush=True)
        raise

example.model = spied
"""


@pytest.fixture(scope="module")
def server(
    new_nginx: NewNginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    conf = (EXAMPLE / "nginx.conf").read_text()
    location = re.search(r"location / \{.*\n        \}\n", conf, re.S)
    assert location
    served = location[0].replace("location / ", "location = /tokens ")
    spy = tmp_path_factory.mktemp("spy")
    Path(spy, "spy.py").write_text(SPY)
    spied = served.replace("/tokens", "/spied").replace('"tokens,', '"spy,')
    with new_nginx(python_path=[EXAMPLE, spy], server=served + spied) as nginx:
        yield nginx


def test_events(server: Nginx) -> None:
    answer = server.post("/tokens", "write to ann@example.org, or do not")
    assert answer.status == 200
    *events, end = answer.text.removesuffix("\n\n").split("\n\n")
    words = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "".join(words) == "write to [address], or do not"
    assert end == "event: end\ndata: 6"


def test_nothing_to_say(server: Nginx) -> None:
    assert server.get("/tokens").text == "event: end\ndata: 0\n\n"


def test_a_model_that_fails(server: Nginx) -> None:
    """Before its first token, so that no 200 has gone out."""
    assert server.post("/spied", "nothing but this").status == 502
    server.wait_log("ValueError: nothing but this")


def test_the_model_ends_with_its_client(server: Nginx) -> None:
    """Which has the first token long before there is a last one."""
    words = b"word " * 2000
    client: socket.socket = server.connect()
    with client:
        client.sendall(
            b"POST /spied HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
            % (len(words), words)
        )
        said = b""
        while b'data: "word"\n\n' not in said:
            part = client.recv(4096)
            assert part, said
            said += part
        assert b"text/event-stream" in said
        assert b"event: end" not in said
    server.wait_log("the model ends: (GeneratorExit|CancelledError)")
