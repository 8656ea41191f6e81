# SPDX-License-Identifier: BSD-2-Clause
"""Python's descriptors, umask and directory are not nginx's."""

from __future__ import annotations

import ast
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .checker import CHECKED, VALGRIND, refuse
from .client import PATIENCE, eventually
from .conftest import NewNginx
from .nginx import Nginx

# Each writes /proc/self/fd of a child to a file.
LS = "ls -l /proc/self/fd"
CHILDREN = {
    "system": "os.system({ls!r} + ' >' + path)",
    "popen": """
open(path, 'w').write(subprocess.run(
    {ls!r}, shell=True, close_fds=not fd, pass_fds=[fd] if fd else [],
    stdout=subprocess.PIPE, text=True).stdout)
""",
    "subprocess": """
subprocess.run({ls!r}, shell=True, close_fds=False, stdout=open(path, 'w'))
""",
    "posix_spawn": """
pid = os.posix_spawnp('sh', ['sh', '-c', {ls!r} + ' >' + path], os.environ)
os.waitpid(pid, 0)
""",
    "fork_exec": """
pid = os.fork()
if pid == 0:
    os.execvp('sh', ['sh', '-c', {ls!r} + ' >' + path])
os.waitpid(pid, 0)
""",
    "asyncio": """
async def run():
    process = await asyncio.create_subprocess_shell(
        {ls!r}, close_fds=False, stdout=open(path, 'w'))
    await process.wait()
asyncio.run(run())
""",
}

pytestmark = pytest.mark.skipif(
    VALGRIND, reason="threads share all there, see checker.py"
)

no_checker = pytest.mark.skipif(
    CHECKED, reason="needs a clone() that these do not know"
)

PROXY = """
    location = /proxy {
        proxy_pass http://unix:{prefix}/http.sock:/hold;
    }
    location = /hold {
        client_body_in_file_only on;
        content_by_lua_block {
            ngx.req.read_body()
            ngx.say(select(2, require("probe").load():call("hold")))
        }
    }
"""


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(server=PROXY) as nginx:
        yield nginx


def inherited(nginx: Nginx, kind: str, before: str = "") -> list[str]:
    """What a child of Python's has open, besides the standard files."""
    code = CHILDREN[kind].format(ls=LS)
    text = nginx.python(
        f"""
import asyncio, os, subprocess, tempfile
fd = None
{before}
path = tempfile.mktemp()
{code}
result = open(path).read()
os.unlink(path)
if fd:
    os.close(fd)
"""
    )
    lines = [line.split(" -> ") for line in text.splitlines() if "->" in line]
    return [
        target
        for left, target in lines
        if int(left.split()[-1]) > 2
        and not target.startswith("/proc/")
        and "checker." not in target  # valgrind's
    ]


def hold(nginx: Nginx, uri: str, body: bytes) -> socket.socket:
    sock = nginx.connect()
    head = f"POST {uri} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock


@pytest.mark.valgrind
@pytest.mark.parametrize("kind", CHILDREN)
def test_children_inherit_nothing_of_nginx(nginx: Nginx, kind: str) -> None:
    """Beside clients, an upstream, and a request's file."""
    held = [
        hold(nginx, "/proxy", b"x" * 100_000),
        hold(nginx, "/hold", b"x"),
    ]
    eventually(
        lambda: nginx.lua('return require("probe").held()') == [2], "held"
    )
    try:
        assert inherited(nginx, kind) == []
    finally:
        nginx.lua('require("probe").release()')
        for sock in held:
            while sock.recv(65536):
                pass
            sock.close()


@pytest.mark.parametrize("kind", CHILDREN)
def test_children_inherit_what_python_wants(nginx: Nginx, kind: str) -> None:
    before = """
fd = os.open("/dev/zero", os.O_RDONLY)
os.set_inheritable(fd, True)
kept_private = os.open("/dev/full", os.O_WRONLY)
"""
    assert inherited(nginx, kind, before) == ["/dev/zero"]


def test_a_child_does_not_hold_the_clients_connection(nginx: Nginx) -> None:
    """One that lives on: the client is told of the end at once."""
    try:
        nginx.python(
            "import os; os.system('sleep 60 >/dev/null 2>&1 & echo $! >pid')"
        )
        with nginx.connect() as sock:
            sock.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            while sock.recv(4096):
                pass
    finally:
        nginx.python(
            "import os; os.kill(int(open('pid').read()), 9); os.unlink('pid')"
        )


def test_descriptors_of_python(nginx: Nginx) -> None:
    """None is nginx's, and none that is opened is seen by nginx."""
    text = nginx.python(
        """
import os, socket
mine = socket.socketpair()
own = {}
for fd in os.listdir("/proc/thread-self/fd"):
    try:
        own[int(fd)] = os.readlink(f"/proc/thread-self/fd/{fd}")
    except OSError:
        pass
result = own, [s.fileno() for s in mine]
"""
    )
    own, mine = ast.literal_eval(text)
    path = Path(f"/proc/{nginx.worker()}/fd")
    nginxs = {os.readlink(entry) for entry in path.iterdir()}
    sockets = {
        target for target in own.values() if target.startswith("socket:")
    }
    for fd in mine:
        assert own[fd] not in nginxs
    # the end of a pair that brings it what it needs
    assert len(sockets - {own[fd] for fd in mine}) == 1
    assert not any(".log" in own[fd] for fd in own if fd > 2)


def test_the_directory_is_pythons_own(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        before = os.readlink(f"/proc/{nginx.worker()}/cwd")
        text = nginx.python(
            "import os; a = os.getcwd(); os.chdir('/'); "
            "result = a + ' ' + os.getcwd()"
        )
        assert text == f"{before} /"
        assert nginx.python("import os; result = os.getcwd()") == "/"
        assert os.readlink(f"/proc/{nginx.worker()}/cwd") == before


# ---- umask


def shell(umask: str) -> list[str]:
    return ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]


MODE = """
import os, tempfile
path = tempfile.mktemp()
os.close(os.open(path, os.O_CREAT, 0o777))
result = oct(os.stat(path).st_mode & 0o777)
os.unlink(path)
"""


@pytest.mark.parametrize(
    ("started", "directive", "mode"),
    [
        ("022", "", "0o755"),
        ("027", "", "0o750"),
        ("0", "", "0o755"),
        ("027", "ffi_umask 77;", "0o700"),
        ("027", "ffi_umask 0;", "0o777"),
    ],
)
def test_umask(
    new_nginx: NewNginx, started: str, directive: str, mode: str
) -> None:
    with new_nginx(http=directive, launcher=shell(started)) as nginx:
        assert nginx.python(MODE) == mode
        nginx.reload()
        assert nginx.python(MODE) == mode


def test_umask_is_pythons_own(new_nginx: NewNginx) -> None:
    """Of all its threads, and of none of nginx's."""
    with new_nginx(launcher=shell("027")) as nginx:
        assert nginx.python("import os; result = oct(os.umask(0o7))") == "0o27"
        assert nginx.python(MODE) == "0o770"
        status = Path(f"/proc/{nginx.worker()}/status").read_text()
        assert "Umask:\t0027" in status


@pytest.mark.parametrize(
    "value", ["", "8", "1777", "rwx", "-1", "22 22", "22; ffi_umask 22"]
)
def test_umasks_that_nginx_refuses(new_nginx: NewNginx, value: str) -> None:
    good, text = new_nginx(http=f"ffi_umask {value};").test_configuration()
    assert not good
    assert "ffi_umask" in text


# ---- what closes all it can


CLOSE_ALL = """
import os
os.closerange(3, 10000)
result = "closed"
"""
CLOSE_AND_REUSE = """
import os
os.closerange(3, 10000)
names = []
for i in range(40):
    open(f"reused{i}", "w+")
    names.append(os.open(f"reused{i}", os.O_RDWR))
result = "closed"
"""
LINE = r"\[error\].*closed descriptors that are not its own"


@pytest.mark.parametrize("code", [CLOSE_ALL, CLOSE_AND_REUSE])
def test_a_handler_closes_everything(new_nginx: NewNginx, code: str) -> None:
    """It is answered, and so are others; another worker takes over."""
    with new_nginx() as nginx:
        worker = nginx.worker()
        nginx.expect_other_worker()
        nginx.lua('require("probe").load():call("x")')
        sock = hold(
            nginx, "/lua", b'return require("probe").load():call("delay:300")'
        )
        assert nginx.python(code) == "closed"
        nginx.wait_gone(worker)
        body = b""
        while more := sock.recv(4096):
            body += more
        sock.close()
        assert b'"later"' in body
        eventually(lambda: len(nginx.worker_pids()) == 1, "a successor")
        assert nginx.python("result = 'well'") == "well"
        assert nginx.count_log(LINE) == 1
        for path in nginx.prefix.glob("reused*"):
            assert path.read_bytes() == b""


def test_the_worker_does_not_wait_for_ever_then(new_nginx: NewNginx) -> None:
    """For a call that is never answered."""
    with new_nginx(http="ffi_exit_timeout 300ms;") as nginx:
        worker = nginx.worker()
        nginx.expect_other_worker()
        sock = hold(nginx, "/lua", b'require("probe").load():call("hold")')
        eventually(
            lambda: nginx.lua('return require("probe").held()') == [1], "held"
        )
        nginx.python(CLOSE_ALL)
        nginx.wait_gone(worker)
        sock.close()


# ---- stderr


def test_stderr_follows_the_log(new_nginx: NewNginx) -> None:
    """After a rotation, also that of children."""
    with new_nginx() as nginx:
        nginx.python("import os; os.write(2, b'before\\n')")
        rotated = nginx.error_log.with_suffix(".1")
        nginx.error_log.rename(rotated)
        nginx.signal(signal.SIGUSR1)
        eventually(
            lambda: (
                nginx.error_log.exists()
                and os.readlink(f"/proc/{nginx.worker()}/fd/2")
                == str(nginx.error_log)
            ),
            "the log has been reopened",
        )

        def follows() -> bool:
            nginx.python("import os; os.system('echo after >&2')")
            return "\nafter\n" in "\n" + nginx.error_log.read_text()

        eventually(follows, "stderr is the new file")
        nginx.python("import os; os.write(2, b'later\\n')")
        assert "later" in nginx.error_log.read_text()
        assert "later" not in rotated.read_text()


# ---- where it is refused


@no_checker
@pytest.mark.parametrize("what", ["unshare", "both"])
def test_where_the_system_refuses(new_nginx: NewNginx, what: str) -> None:
    launcher = [*shell("027"), refuse(), what]
    with new_nginx(launcher=launcher) as nginx:
        assert nginx.python(MODE) == "0o750"
        children = {kind: inherited(nginx, kind) for kind in CHILDREN}
        notices = nginx.count_log(r"\[notice\].*threads of runtimes share")
        if what == "unshare":
            assert not any(children.values())
            assert notices == 0
        else:
            assert notices == 1
        assert nginx.lua(
            'local rt = require("probe").load()\nreturn rt:call("x")'
        ) == [True, "x"]


@no_checker
@pytest.mark.parametrize("what", ["unshare", "both"])
def test_a_worker_that_has_lost_all_leaves(
    new_nginx: NewNginx, what: str
) -> None:
    with new_nginx(
        http="ffi_exit_timeout 300ms;", launcher=[refuse(), what]
    ) as nginx:
        nginx.allow_log("Bad file descriptor|open socket")
        worker = nginx.worker()
        nginx.expect_other_worker()
        start = time.monotonic()
        with nginx.connect() as sock:
            sock.settimeout(PATIENCE)
            body = (
                'return assert(ngx.load_ffi("ffi_python3", "evaluate,init"))'
                f":run([[{CLOSE_ALL}]])"
            ).encode()
            head = f"POST /lua HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            nginx.wait_gone(worker)
        assert time.monotonic() - start < PATIENCE
        eventually(lambda: len(nginx.worker_pids()) == 1, "a successor")
        assert nginx.python("result = 'well'") == "well"
