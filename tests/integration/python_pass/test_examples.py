# SPDX-License-Identifier: BSD-2-Clause
"""The applications of examples/, with the nginx.conf that they have there."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from websockets.sync.client import ClientConnection, unix_connect

from ..client import PATIENCE, Response, UnixConnection
from ..nginx import ROOT
from .site import Site

EXAMPLES = ROOT / "examples"


class Example(Site):
    def __init__(self, name: str, model: str = "") -> None:
        super().__init__()
        text = (EXAMPLES / name / "nginx.conf").read_text()
        found = re.fullmatch(
            r"(?:(worker_\w+ \w+;)\n)?"
            r"events \{\}\nhttp \{\n(.*?)    server \{\n"
            r"        listen 20000;\n(.*?)    \}\n\}\n",
            text,
            re.S,
        )
        assert found, text
        main, http, server = found.groups()
        assert len((http + server).splitlines()) <= 13
        shutil.copytree(EXAMPLES / name, self.prefix, dirs_exist_ok=True)
        self.configure(
            main=main or "",
            http_first=f"python_venv {sys.prefix};",
            http=http.replace("http://localhost:11434", model),
            server=re.sub(r"root \.;", "root {prefix};", server),
        )

    def send(
        self, method: str, body: str = "", uri: str = "/", **fields: str
    ) -> Response:
        connection = UnixConnection(self.socket, PATIENCE)
        headers = {"Host": "localhost", **fields}
        connection.request(method, uri, body or None, headers)
        answer = connection.getresponse()
        return Response(
            answer.status, dict(answer.getheaders()), answer.read()
        )


@pytest.mark.parametrize("name", ["flask", "django"])
def test_static_files_are_nginxs(name: str) -> None:
    with Example(name) as nginx:
        answer = nginx.get("/static/style.css")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/css"
        assert "ETag" in answer.headers
        assert nginx.get("/no/such/thing").status == 404


def test_flask() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with Example("flask") as nginx:
        body = urlencode({"guest": "Zoë <x>"})
        answer = nginx.send("POST", body, **form)
        assert (answer.status, answer.headers["Location"]) == (302, "/")
        page = nginx.send("GET").body.decode()
        assert "<li>Zoë &lt;x&gt;</li>" in page
        assert nginx.send("POST", "x=y", **form).status == 400
        assert nginx.send("DELETE").status == 405


def test_django() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with Example("django") as nginx:
        assert nginx.send("POST", "note=x", **form).status == 403
        answer = nginx.send("GET")
        token = re.search(r'value="(\w+)"', answer.text)
        assert token
        cookie = answer.headers["Set-Cookie"].strip().partition(";")[0]
        body = urlencode({"note": "kept", "csrfmiddlewaretoken": token[1]})
        answer = nginx.send("POST", body, Cookie=cookie, **form)
        assert answer.status == 302
        cookie = answer.headers["Set-Cookie"].strip().partition(";")[0]
        assert "<li>kept</li>" in nginx.send("GET", Cookie=cookie).text
        assert nginx.send("GET", uri="/nowhere").status == 404
        start = r"\[warn\] .* ffi_python3: notes\S*: "
        nginx.wait_log(start + r"django\.security\.csrf: Forbidden \(CSRF")
        nginx.wait_log(start + r"django\.request: Not Found: /nowhere, client")


def test_fastapi() -> None:
    with Example("fastapi") as nginx, nginx.connect() as sock:
        sock.sendall(b"GET /measurements HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = until(sock, b": welcome\n\n")
        assert b"text/event-stream" in seen
        json_ = {"Content-Type": "application/json"}
        body = json.dumps({"sensor": "roof", "value": 21.5})
        answer = nginx.send("POST", body, "/measurements", **json_)
        assert answer.status == 201
        assert json.loads(answer.body) == {"sensor": "roof", "value": 21.5}
        until(sock, b'data: {"sensor":"roof","value":21.5}\n\n')
        body = '{"sensor": "roof"}'
        answer = nginx.send("POST", body, "/measurements", **json_)
        assert answer.status == 422
        assert nginx.get("/docs").status == 200


@contextlib.contextmanager
def guest(nginx: Site) -> Iterator[ClientConnection]:
    path, uri = str(nginx.socket), "ws://localhost/chat"
    with unix_connect(
        path, uri, open_timeout=PATIENCE, close_timeout=0.1
    ) as client:
        yield client


def test_chat() -> None:
    with Example("chat") as nginx:
        answer = nginx.get("/")
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "new WebSocket" in answer.text
        with guest(nginx) as ann, guest(nginx) as bob:
            ann.send("ann: <b>hello</b>")
            bob.send("bob: " + 1000 * "ö")
            for client in (ann, bob):
                lines = {client.recv(PATIENCE), client.recv(PATIENCE)}
                assert "ann: <b>hello</b>" in lines
                assert ("bob: " + 1000 * "ö")[:500] in lines
            bob.close()
            ann.send("ann: still here")
            assert ann.recv(PATIENCE) == "ann: still here"
        with guest(nginx) as late:
            lines = {late.recv(PATIENCE) for _ in range(3)}
            assert "ann: still here" in lines


def test_who_reads_slowly_keeps_nobody() -> None:
    """And misses what does not fit any more, 8 MB of it."""
    with Example("chat") as nginx, guest(nginx) as ann, guest(nginx):
        for number in range(20_000):
            ann.send(f"{number} {400 * 'x'}")
        with guest(nginx) as late:
            while not str(late.recv(PATIENCE)).startswith("19999 "):
                pass


def log_in(nginx: Example, name: str, password: str) -> Response:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"name": name, "password": password})
    return nginx.send("POST", body, "/login", **form)


def test_auth() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with Example("auth") as nginx:
        for method in ("GET", "POST"):
            answer = nginx.send(method, "line=x", **form)
            assert answer.status == 401
            assert 'name="password"' in answer.text
            assert "Hello" not in answer.text
        for name, password in (("ann", "x"), ("a b", "sesame"), ("", "")):
            assert log_in(nginx, name, password).status == 401
        assert nginx.send("GET", uri="/auth").status == 404

        answer = log_in(nginx, "ann", "sesame")
        assert (answer.status, answer.headers["Location"]) == (302, "/")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        page = nginx.send("GET", Cookie=cookie).text
        assert "<h1>Hello ann</h1>" in page
        answer = nginx.send("POST", "line=<i>", Cookie=cookie, **form)
        assert "<li>ann: &lt;i&gt;</li>" in answer.text
        forged = cookie[:-3] + "AAA"
        assert nginx.send("GET", Cookie=forged).status == 401


def until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data
