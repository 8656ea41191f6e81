# SPDX-License-Identifier: BSD-2-Clause
"""`make run` with WATCH=1, and with APP=."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import PATIENCE, UnixConnection, eventually
from .command.tool import wsgi
from .nginx import BUILD, NGINX_BIN, ROOT
from .test_demo import Demo

pytestmark = pytest.mark.skipif(
    BUILD != ROOT / "build", reason="it serves what is in build"
)

CONF = """
events {{ }}
http {{
    server {{
        listen unix:{folder}/sock;
        location / {{
            content_by_lua_block {{
                local rt, err = ngx.load_ffi("ffi_python3", "app,answer")
                local ok, res = nil, err
                if rt then
                    ok, res = rt:call()
                end
                ngx.print(res, {more})
            }}
        }}
        location /web {{ python_pass web:app; }}
    }}
}}
"""
APP = """
from resty_ffi import serve
import part

@serve
def answer(request: bytes) -> str:
    return "{} " + part.x
"""


@contextlib.contextmanager
def make_run(folder: Path, **environ: str) -> Iterator[Path]:
    """Behind its build; the file with all that it says."""
    said = folder.parent / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, ROOT / "scripts" / "run.py"],
            cwd=folder.parent,
            env={
                **os.environ,
                "NGINX_BIN": NGINX_BIN,
                "VIRTUAL_ENV": "",
                "WATCH": "1",
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield said
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(said.read_text())


def get(sock: Path, uri: str = "/") -> str:
    connection = UnixConnection(sock, PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", uri)
        return connection.getresponse().read().decode()


def answers(sock: Path, text: str, uri: str = "/") -> None:
    def there() -> bool:
        with contextlib.suppress(OSError):
            return text in get(sock, uri)
        return False

    eventually(there, text)


def test_what_lua_loads(tmp_path: Path) -> None:
    """Beside the configuration, and elsewhere; and the file itself."""
    folder, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    for path in (folder, elsewhere):
        path.mkdir()
    conf = folder / "my.conf"

    def configure(more: str) -> None:
        conf.write_text(CONF.format(folder=folder, more=more))

    configure("'!'")
    (folder / "app.py").write_text(APP.format("one"))
    (folder / "web.py").write_text(wsgi("'web one'"))
    (elsewhere / "part.py").write_text("x = 'one'")
    sock = folder / "sock"
    with make_run(folder, CONF=str(conf), PYTHONPATH=str(elsewhere)) as said:
        answers(sock, "one one!")
        assert get(sock, "/web") == "web one"
        (folder / "app.py").write_text(APP.format("two"))
        answers(sock, "two one!")
        (elsewhere / "part.py").write_text("x = 'two'")
        answers(sock, "two two!")
        (folder / "web.py").write_text("1 / 0")
        answers(sock, "ZeroDivisionError", "/web")
        configure("'?'")
        answers(sock, "two two?")
        conf.write_text(conf.read_text() + "oops;")
        eventually(lambda: "oops" in said.read_text(), "a refusal")
        assert get(sock) == "two two?"
        configure("'?'")
        answers(sock, "two two?")
        (folder / "app.py").write_text(APP.format("six"))
        configure("'.'")
        answers(sock, "six two.")


def test_app(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "requirements.txt").write_text("# none\n")
    (folder / "app.py").write_text("import sys" + wsgi("('one', sys.prefix)"))
    demo = Demo()
    with make_run(folder, APP="site/app:app", PORT=str(demo.port)) as said:
        eventually(demo.is_up, "it serves", 8 * PATIENCE)
        assert f"('one', '{BUILD}/run/site-" in demo.ask("/")[1]
        (folder / "app.py").write_text(wsgi("'two'"))
        eventually(lambda: demo.ask("/")[1] == "two", "the new one")
        assert "installing" in said.read_text()


def test_no_such_app(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "run.py"],
        env={**os.environ, "NGINX_BIN": NGINX_BIN, "APP": "/none/app:app"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    said = "make run: APP=/none/app:app: No such file or directory\n"
    assert done.stderr == said
