# SPDX-License-Identifier: BSD-2-Clause
"""A call, a load and an unload in every phase that Lua runs in.

Each phase runs act(), which does what the test has put into a shared
dictionary, and leaves there what came of it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import PATIENCE, eventually
from .conftest import NewNginx
from .nginx import Nginx

LIBRARIES = {"probe": "probe", "python": "ffi_python3"}
CFGS = {"probe": "every", "python": "skeleton,init"}

INIT = """
    lua_shared_dict board 64k;
    init_by_lua_block {
        local board = ngx.shared.board

        local function run(action, phase)
            local lib, cfg = board:get("lib"), board:get("cfg")
            if action == "load" then
                local rt, err = ngx.load_ffi(lib, cfg .. "," .. phase)
                return rt ~= nil, err
            end
            local rt, err = ngx.load_ffi(lib, cfg)
            if not rt then
                return false, err
            end
            if action == "call" then
                return rt:call(phase)
            end
            return rt:__unload()
        end

        function act(phase)
            local action = board:get("action")
            if not action or board:get("phase") ~= phase then
                return
            end
            board:delete("action")
            local _, ok, res, err = pcall(run, action, phase)
            board:set("result", tostring(ok) .. " " .. tostring(err or res))
        end
    }
"""

HTTP = (
    INIT
    + """
    upstream chosen {
        server 0.0.0.1;
        balancer_by_lua_block {
            act("balancer")
            ngx.exit(500)
        }
    }
    ssl_session_fetch_by_lua_block { act("ssl_session_fetch") }
    ssl_session_store_by_lua_block { act("ssl_session_store") }
    server {
        listen unix:{prefix}/tls.sock ssl;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key CERTIFICATE;
        ssl_protocols TLSv1.2;
        ssl_session_tickets off;
        ssl_client_hello_by_lua_block { act("ssl_client_hello") }
        ssl_certificate_by_lua_block { act("ssl_certificate") }
        location / { return 200 "over TLS"; }
    }
    server {
        listen unix:{prefix}/early.sock;
        server_rewrite_by_lua_block { act("server_rewrite") }
        location / { return 200 "early"; }
    }
"""
)

SERVER = """
    location = /set {
        set_by_lua_block $x { act("set") return "" }
        return 200 "set";
    }
    location = /rewrite {
        rewrite_by_lua_block { act("rewrite") }
        content_by_lua_block { ngx.print("rewrite") }
    }
    location = /access {
        access_by_lua_block { act("access") }
        content_by_lua_block { ngx.print("access") }
    }
    location = /content {
        content_by_lua_block { act("content") }
    }
    location = /header_filter {
        header_filter_by_lua_block { act("header_filter") }
        return 200 "header_filter";
    }
    location = /body_filter {
        body_filter_by_lua_block { act("body_filter") }
        return 200 "body_filter";
    }
    location = /log {
        log_by_lua_block { act("log") }
        return 200 "log";
    }
    location = /balancer {
        proxy_pass http://chosen;
    }
    location = /timer {
        content_by_lua_block { ngx.timer.at(0, function() act("timer") end) }
    }
"""

WAITING = [
    *("server_rewrite", "rewrite", "access", "content", "timer"),
    "ssl_certificate",
]
# Lua may wait there where nginx and OpenSSL are patched for it; elsewhere
# whatever waits, ngx.sleep too, ends the handshake.
PATCHED = ["ssl_client_hello", "ssl_session_fetch"]
OTHERS = [
    *("set", "header_filter", "body_filter", "log", "balancer"),
    "ssl_session_store",
]
REFUSED = re.compile(r"false (API disabled in the context of|cannot yield)")


def over_tls(nginx: Nginx) -> None:
    """Two connections: the second takes up the first one's session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session = None
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(PATIENCE)
            plain.connect(str(nginx.prefix / "tls.sock"))
            with context.wrap_socket(
                plain, server_hostname="localhost", session=session
            ) as tls:
                tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: tls.recv(999), b""))
                assert b"over TLS" in answer
                session = tls.session


def early(nginx: Nginx) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(nginx.prefix / "early.sock"))
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"early" in b"".join(iter(lambda: connection.recv(999), b""))


def enter(nginx: Nginx, phase: str) -> None:
    ways: dict[str, Callable[[Nginx], None]] = {"server_rewrite": early}
    if phase.startswith("ssl_"):
        return over_tls(nginx)
    if phase in ways:
        return ways[phase](nginx)
    status = nginx.get(f"/{phase}").status
    assert status == (500 if phase == "balancer" else 200)
    return None


def begin(nginx: Nginx, runtime: str, action: str, phase: str) -> None:
    board = {
        "lib": LIBRARIES[runtime],
        "cfg": CFGS[runtime],
        "phase": phase,
        "action": action,
    }
    sets = "".join(f'board:set("{k}", "{v}")' for k, v in board.items())
    nginx.lua(f'local board = ngx.shared.board board:delete("result") {sets}')


def act(nginx: Nginx, runtime: str, action: str, phase: str) -> str:
    """What came of it, as `ok text`."""
    begin(nginx, runtime, action, phase)
    enter(nginx, phase)

    def look() -> str | None:
        (value,) = nginx.lua('return ngx.shared.board:get("result")')
        assert value is None or isinstance(value, str)
        return value

    value = eventually(look, phase)
    assert value
    return value


def loaded(runtime: str) -> str:
    return f'assert(ngx.load_ffi("{LIBRARIES[runtime]}", "{CFGS[runtime]}"))'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
            *("-days", "2", "-subj", "/CN=localhost"),
        ],
        check=True,
        capture_output=True,
    )
    with path.open("a") as both:
        both.write(path.with_suffix(".crt").read_text())
    return path


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx, certificate: Path) -> Iterator[Nginx]:
    http = HTTP.replace("CERTIFICATE", str(certificate))
    with new_nginx(http=http, server=SERVER) as nginx:
        yield nginx


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("phase", WAITING)
def test_call(nginx: Nginx, runtime: str, phase: str) -> None:
    for _ in range(3):
        assert act(nginx, runtime, "call", phase) == f"true {phase}"


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("phase", OTHERS)
def test_call_where_none_can_wait(
    nginx: Nginx, runtime: str, phase: str
) -> None:
    for _ in range(3):
        assert REFUSED.match(act(nginx, runtime, "call", phase))
    assert nginx.lua(f'return {loaded(runtime)}:call("x")') == [True, "x"]


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("phase", PATCHED)
def test_where_not_every_nginx_can_wait(
    nginx: Nginx, runtime: str, phase: str
) -> None:
    """The worker lives, and the runtime that was to be loaded is there."""
    nginx.allow_log(r"\[crit\].*cannot yield in sess get cb")
    for action in ("call", "load"):
        begin(nginx, runtime, action, phase)
        with contextlib.suppress(OSError):
            over_tls(nginx)
        assert nginx.lua('return ngx.shared.board:get("action")') == [None]
    begin(nginx, runtime, "", "")
    assert nginx.lua(
        f"""
        local rt = assert(ngx.load_ffi("{LIBRARIES[runtime]}",
                                       "{CFGS[runtime]},{phase}"))
        local ok, res = rt:call("x")
        rt:__unload()
        return ok, res
        """
    ) == [True, "x"]
    over_tls(nginx)


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("phase", WAITING + OTHERS)
def test_load(nginx: Nginx, runtime: str, phase: str) -> None:
    """Where nobody can wait, the worker does."""
    assert act(nginx, runtime, "load", phase) == "true nil"
    assert nginx.lua(
        f"""
        local rt = assert(ngx.load_ffi("{LIBRARIES[runtime]}",
                                       "{CFGS[runtime]},{phase}"))
        local ok, res = rt:call("x")
        rt:__unload()
        return ok, res
        """
    ) == [True, "x"]


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("phase", WAITING + OTHERS + PATCHED)
def test_unload(nginx: Nginx, runtime: str, phase: str) -> None:
    nginx.lua(f"kept = {loaded(runtime)} assert(kept:call('x'))")
    assert act(nginx, runtime, "unload", phase) == "true nil"
    assert nginx.lua('return kept:call("x")') == [
        False,
        "task queue is finished",
    ]
    assert nginx.lua(f'return {loaded(runtime)}:call("x")') == [True, "x"]


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("action", ["call", "load", "unload"])
def test_init_worker(new_nginx: NewNginx, runtime: str, action: str) -> None:
    http = (
        INIT
        + f"""
        init_worker_by_lua_block {{
            local board = ngx.shared.board
            board:set("lib", "{LIBRARIES[runtime]}")
            board:set("cfg", "{CFGS[runtime]}")
            board:set("action", "{action}")
            board:set("phase", "init_worker")
            act("init_worker")
        }}
    """
    )
    with new_nginx(http=http) as nginx:
        (said,) = nginx.lua('return ngx.shared.board:get("result")')
        if action == "call":
            assert REFUSED.match(said)
        else:
            assert said == "true nil"
        assert nginx.lua(f'return {loaded(runtime)}:call("x")') == [True, "x"]


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("action", ["call", "load", "unload"])
def test_exit_worker(
    new_nginx: NewNginx, runtime: str, action: str, used: bool
) -> None:
    """The worker leaves all the same; used: it had a runtime before."""
    http = (
        INIT
        + f"""
        exit_worker_by_lua_block {{
            local board = ngx.shared.board
            board:set("lib", "{LIBRARIES[runtime]}")
            board:set("cfg", "{CFGS[runtime]}")
            board:set("action", "{action}")
            board:set("phase", "exit_worker")
            act("exit_worker")
            ngx.log(ngx.NOTICE, "said: ", board:get("result"))
        }}
    """
    )
    with new_nginx(http=http) as nginx:
        if used:
            nginx.lua(f"assert({loaded(runtime)}:call('x'))")
        pid = nginx.worker()
        nginx.quit()
        nginx.wait()
        said = nginx.wait_log(r"said: (\w+)")[1]
        assert said == ("false" if action == "call" else "true")
        nginx.wait_log(rf"worker process {pid} exited with code 0")


@pytest.mark.parametrize("runtime", LIBRARIES)
@pytest.mark.parametrize("action", ["call", "load", "unload"])
def test_a_premature_timer(
    new_nginx: NewNginx, runtime: str, action: str
) -> None:
    """Timers run once more when the worker leaves."""
    with new_nginx(http=INIT) as nginx:
        pid = nginx.worker()
        nginx.lua(
            f"""
            local board = ngx.shared.board
            board:set("lib", "{LIBRARIES[runtime]}")
            board:set("cfg", "{CFGS[runtime]}")
            {loaded(runtime)}
            ngx.timer.at(3600, function(premature)
                board:set("action", "{action}")
                board:set("phase", "timer")
                act("timer")
                ngx.log(ngx.NOTICE, "said: ", board:get("result"))
            end)
            """
        )
        nginx.quit()
        nginx.wait()
        nginx.wait_log(r"said: (true|false) \w+")
        nginx.wait_log(rf"worker process {pid} exited with code 0")
