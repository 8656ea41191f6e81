# SPDX-License-Identifier: BSD-2-Clause
"""examples/gateway, before something that answers as a model's API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ..client import PATIENCE, eventually
from .test_examples import Example, until

# as a model's tokens cut it
TOKENS = ["Write to", " ann", "@exam", "ple.org", ", or", " not", " to b@c.d"]


class Model(ThreadingHTTPServer):
    """Says TOKENS, and waits before the last ones until it may go on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.go_on = threading.Event()
        self.left = threading.Event()
        self.endless = False
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        model = self.server
        length = int(self.headers["Content-Length"])
        model.asked.append(json.loads(self.rfile.read(length)))
        model.keys.append(self.headers["Authorization"])
        self.send_response(model.status)
        self.end_headers()
        if model.status != 200:
            self.wfile.write(b'{"error": "too many"}')
            return
        self.event({"role": "assistant"})
        for number, token in enumerate(TOKENS):
            if number == 5:
                assert model.go_on.wait(PATIENCE)
            self.event({"content": token})
        try:
            while model.endless:
                self.event({"content": " more"})
        except OSError:
            model.left.set()
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, delta: dict[str, str]) -> None:
        event = {"choices": [{"index": 0, "delta": delta}]}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as model:
        thread = threading.Thread(target=model.serve_forever)
        thread.start()
        try:
            yield model
        finally:
            model.go_on.set()
            model.shutdown()
            thread.join()


PROMPT = json.dumps(
    {
        "model": "any",
        "temperature": 0.5,
        "messages": [{"role": "user", "content": "I am zoë+1@example.org."}],
    }
)
JSON = {"Content-Type": "application/json"}
CHAT = "/v1/chat/completions"
HEAD = (
    f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(PROMPT)}\r\n\r\n"
)


def texts(data: str) -> str:
    events = [
        json.loads(line.removeprefix("data: "))
        for line in data.splitlines()
        if line.startswith("data: {")
    ]
    return "".join(
        choice["delta"].get("content", "")
        for event in events
        for choice in event["choices"]
    )


def test_what_passes(model: Model) -> None:
    model.go_on.set()
    with Example("gateway", model.url) as nginx:
        key = {"Authorization": "Bearer key"}
        answer = nginx.send("POST", PROMPT, CHAT, **JSON, **key)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.text.endswith("data: [DONE]\n\n")
        assert f'"completion_tokens": {len(TOKENS)}' in answer.text
        said = texts(answer.text)
        assert said == "Write to [address], or not to [address]"
        (asked,) = model.asked
        (message,) = asked["messages"]
        assert message["content"] == "I am [address]."
        assert (asked["stream"], asked["temperature"]) == (True, 0.5)
        assert model.keys == ["Bearer key"]
        usage = json.loads(nginx.get("/usage").body)
        assert usage == {"requests": 1, "tokens": len(TOKENS)}


def test_it_passes_as_it_comes(model: Model) -> None:
    with Example("gateway", model.url) as nginx, nginx.connect() as sock:
        sock.sendall(HEAD.encode() + PROMPT.encode())
        seen = until(sock, b"[address]")
        assert b"DONE" not in seen
        assert not model.go_on.is_set()
        model.go_on.set()
        until(sock, b"[DONE]")


def test_a_client_that_leaves(model: Model) -> None:
    """The model need not go on."""
    model.endless = True
    model.go_on.set()
    with Example("gateway", model.url) as nginx:
        with nginx.connect() as sock:
            sock.sendall(HEAD.encode() + PROMPT.encode())
            until(sock, b"more")
        eventually(model.left.is_set, "the model is told")


def test_a_model_that_refuses(model: Model) -> None:
    model.status = 429
    with Example("gateway", model.url) as nginx:
        answer = nginx.send("POST", PROMPT, CHAT, **JSON)
        assert (answer.status, answer.text) == (429, '{"error": "too many"}')
        answer = nginx.send("POST", '{"model": 1}', CHAT, **JSON)
        assert answer.status == 422


def test_no_model() -> None:
    with Model() as model:
        url = model.url
    with Example("gateway", url) as nginx:
        answer = nginx.send("POST", PROMPT, CHAT, **JSON)
        assert answer.status == 502
        assert "ConnectError" in answer.text
