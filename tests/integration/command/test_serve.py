# SPDX-License-Identifier: BSD-2-Clause
"""What the command serves, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ..client import PATIENCE, eventually, until_end
from ..nginx import NGINX_BIN
from .tool import MODULE, Serve, run, write, wsgi

ASGI = """
import os, sys

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})
"""
SLOW = """
import pathlib, time

def app(environ, start_response):
    pathlib.Path("begun").touch()
    time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [])
    return [b"done"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s "my" $app; {x}'
    folder.mkdir()
    return folder


def test_wsgi(folder: Path) -> None:
    """Environment, environment of packages, path and output are as without
    nginx."""
    expression = "[os.environ['ODD'], sys.prefix, os.getcwd(), __file__]"
    write(folder, f"import os, sys\nprint('imported'){wsgi(expression)}")
    odd = "a b;\"c\" $d '{}'\n\\"
    with Serve(folder, ODD=odd) as served:
        answer = served.get("/a?b=c")
        file = folder / "app.py"
        assert answer.text == str([odd, sys.prefix, str(folder), str(file)])
        lines = eventually(
            lambda: re.findall(
                r'^127\.0\.0\.1:\d+ - "GET /a\?b=c HTTP/1\.1" 200 \d\.\d{3}s$',
                served.output(),
                re.M,
            ),
            "the line of the request",
        )
        assert len(lines) == 1
        assert served.output().splitlines()[0] == "imported"
        assert served.process.poll() is None


def test_asgi_and_static_files(folder: Path) -> None:
    write(folder, ASGI, "sub/web.py")
    write(folder, "p { }", 'st "$a;ic/style.css')
    with Serve(
        folder, '--static=/static=st "$a;ic', app="sub/web:app"
    ) as served:
        answer = served.get()
        assert (answer.status, answer.body) == (201, b"asgi")
        answer = served.get("/static/style.css")
        assert answer.text == "p { }"
        assert answer.headers["Content-Type"] == "text/css"
        assert served.get("/static/none").status == 404
        assert served.get("/staticx").status == 201


def test_an_interface_that_is_named(folder: Path) -> None:
    write(
        folder, "def inner(*a): a[1]('200 OK', []); return [b'x']\napp=inner"
    )
    with Serve(folder, "--interface=wsgi") as served:
        assert served.get().text == "x"


def test_a_path_as_it_is(folder: Path) -> None:
    write(folder, wsgi("environ['PATH_INFO']"))
    with Serve(folder) as served:
        assert served.get("/a//b/https://x").text == "/a//b/https://x"


def test_errors_as_they_are(folder: Path) -> None:
    """What goes to wsgi.errors, as frameworks' tracebacks do."""
    write(
        folder,
        wsgi("environ['wsgi.errors'].write('first\\n  second\\n\\nend\\n')"),
    )
    with Serve(folder) as served:
        served.get()
        served.wait(r"(?m)^first\n  second\n\nend$")


def test_workers(folder: Path) -> None:
    write(folder, "import os" + wsgi("os.getpid()"))
    with Serve(folder, "--workers=2") as served:
        found: set[str] = set()

        def ask() -> bool:
            found.add(served.get().text)
            return len(found) == 2

        eventually(ask, "both workers")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_it_ends_what_it_has_begun(
    folder: Path, number: signal.Signals
) -> None:
    write(folder, SLOW)
    with Serve(folder) as served, served.connect() as sock:
        sock.sendall(b"GET /?1 HTTP/1.0\r\n\r\n")
        eventually((folder / "begun").exists, "the request")
        served.signal(number)
        assert until_end(sock).endswith(b"done")
        assert served.end() == 0


def test_the_second_time_it_does_not_wait(folder: Path) -> None:
    write(folder, SLOW)
    with Serve(folder) as served, served.connect() as sock:
        sock.sendall(b"GET /?600 HTTP/1.0\r\n\r\n")
        eventually((folder / "begun").exists, "the request")
        served.signal(signal.SIGINT)
        served.wait("ends what it has begun")
        served.signal(signal.SIGINT)
        assert served.end() == 0


def test_an_import_that_hangs(folder: Path) -> None:
    source = "import pathlib, time\npathlib.Path('begun').touch()\n"
    write(folder, source + "time.sleep(600)")
    with Serve(folder) as served:
        eventually((folder / "begun").exists, "the import")
        served.signal(signal.SIGINT)
        assert served.end() == 0


def test_nothing_outlives_it(folder: Path) -> None:
    """Not even where it was killed: nginx is told by the kernel."""
    write(folder, wsgi("1"))
    with Serve(folder) as served:
        os.kill(served.process.pid, signal.SIGKILL)
        assert served.end() == -signal.SIGKILL
        for left in served.temporary.iterdir():
            shutil.rmtree(left)
        served.process.returncode = 0


def test_a_master_that_dies(folder: Path) -> None:
    write(folder, wsgi("1"))
    with Serve(folder) as served:
        os.kill(served.group, signal.SIGKILL)
        assert served.end() not in (0, None)
        served.process.returncode = 0


def again(served: Serve, output: int) -> tuple[subprocess.Popen[str], int]:
    """The same command, which writes to output, and its port."""
    process = subprocess.Popen(
        served._command,
        cwd=served.folder,
        env=served._environ,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(output)
    assert process.stderr
    port = re.search(r":(\d+);", process.stderr.readline())
    assert port
    return process, int(port[1])


def test_nobody_reads_what_it_prints(folder: Path) -> None:
    write(folder, wsgi("1"))
    reader, writer = os.pipe()
    with Serve(folder) as served:
        process, port = again(served, writer)
        os.close(reader)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b" 200 " in sock.recv(1000)
        assert process.wait(PATIENCE) == 0
        assert process.stderr
        process.stderr.close()


def test_somebody_who_does_not_read(folder: Path) -> None:
    """nginx has to wait, and Ctrl-C ends it all the same."""
    write(folder, wsgi("print('x' * 4000)"))
    reader, writer = os.pipe()
    with Serve(folder) as served:
        process, port = again(served, writer)
        with contextlib.suppress(TimeoutError):
            while True:
                address = ("127.0.0.1", port)
                with socket.create_connection(address, 2) as sock:
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    sock.recv(1000)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "ends what it has begun" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        process.stderr.close()
    os.close(reader)


def test_a_port_that_is_in_use(folder: Path) -> None:
    write(folder, wsgi("1"))
    with Serve(folder, "--workers=2") as served:
        port = str(served.port)
        done = run(folder, "app:app", "--port", port, "--workers=2")
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr == (
            f"serve: cannot listen on 127.0.0.1:{port}: Address already in"
            " use\n"
        )
        assert served.get().text == "1"


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_an_address_of_ipv6(folder: Path) -> None:
    write(folder, wsgi("environ['SERVER_NAME']"))
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no ::1")
    with (
        Serve(folder, "--host=::1") as served,
        socket.create_connection(("::1", served.port), PATIENCE) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 " in sock.recv(1000)


def test_without_root(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("all other tests are without")
    write(folder, "import os" + wsgi("os.geteuid()"))
    for path in [folder, *folder.parents[:3]]:
        path.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    served = Serve(folder, launcher=nobody)
    served.temporary.chmod(0o777)
    for need in (["-r", str(MODULE)], ["-x", str(folder)]):
        if subprocess.run([*nobody, "test", *need]).returncode:
            pytest.skip("they may not read the tree")
    with served:
        assert served.get().text == "65534"


# ---- what it refuses


def test_no_nginx(folder: Path) -> None:
    done = run(folder, "app:app", "--nginx=/none/nginx")
    assert done.returncode == 1
    assert done.stderr == (
        "serve: there is no /none/nginx: install nginx (apt install nginx),"
        " or say --nginx=/path/to/nginx\n"
    )


def test_no_module(folder: Path) -> None:
    done = run(folder, "app:app", "--module=none.so")
    assert done.returncode == 1
    assert (
        f"none at {folder}/none.so; make && sudo make install" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["app"], "'app' is not [directory/]module:attribute"),
        (["a b:app"], 'takes "[/directory/]module:attribute"'),
        (["app:app", "--static=/x=none"], "there is no directory none"),
        (["none/app:app"], "there is no directory none"),
        (["app:app", "--static=x=."], "'x=.' is not /uri/=directory"),
        (["app:app", "--static=/=."], "'/=.' is not /uri/=directory"),
        (["app:app", "--static=/a\nb=."], "has a control character in it"),
        (["app:app", "--port=65536"], "'65536' is not one of 0 to 65535"),
        (["app:app", "--port=x"], "'x' is not one of"),
        (["app:app", "--workers=0"], "'0' is not one of 1 to"),
        (["app:app", "--interface=rsgi"], "invalid choice"),
        (["app:app", "--host=no such host"], "--host no such host: "),
        (["x\ny:app"], "has a control character in it"),
    ],
)
def test_arguments(folder: Path, arguments: list[str], said: str) -> None:
    done = run(folder, "--module", str(MODULE), *arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.parent.glob("*-tmp/*")) == []


# ---- --print-conf


def test_print_conf(folder: Path) -> None:
    """It serves, too, and has nothing of this one process in it."""
    write(folder, wsgi("'printed'"))
    arguments = ["app:app", "--module", str(MODULE), "--print-conf"]
    done = run(folder, *arguments, "--port=0")
    assert done.returncode == 0, done.stderr
    assert "/resty-ffi-" not in done.stdout
    assert "show_errors" not in done.stdout
    assert "RESTY_FFI_WATCH" not in run(folder, *arguments, "--watch").stdout
    (folder / "nginx.conf").write_text(done.stdout)
    port = re.search(r"listen 127.0.0.1:(\d+);", done.stdout)
    assert port
    command = [NGINX_BIN, "-e", "stderr", "-p", f"{folder}/"]
    with subprocess.Popen([*command, "-c", folder / "nginx.conf"]) as nginx:
        eventually((folder / "nginx.pid").exists, "nginx listens")
        address = ("127.0.0.1", int(port[1]))
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert until_end(sock).endswith(b"printed")
        nginx.send_signal(signal.SIGQUIT)
        assert nginx.wait(PATIENCE) == 0


def test_names_of_variables_alone(folder: Path) -> None:
    done = run(folder, "app:app", "--print-conf", PASSWORD="VALUE")
    assert "env PASSWORD;" in done.stdout
    assert "VALUE" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 200


# ---- an application that cannot start


def test_no_page_says_why(folder: Path) -> None:
    write(folder, "raise ValueError('a secret')")
    with Serve(folder) as served:
        answer = served.get()
        assert answer.status == 502
        assert "secret" not in answer.text
        assert "app.py" not in answer.text
        served.wait("ValueError: a secret")
