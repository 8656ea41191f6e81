# SPDX-License-Identifier: BSD-2-Clause
"""ffi_status_zone and ffi_status: what is counted, and how it is told."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families,
)

from .checker import SLOWNESS
from .client import Response, UnixConnection, eventually
from .conftest import NewNginx
from .nginx import ROOT, Nginx
from .status import (
    APP,
    SERVER,
    ZONE,
    Counts,
    counts,
    in_flight,
    report,
    samples,
)
from .web import head

pytestmark = pytest.mark.valgrind

PROMTOOL = shutil.which("promtool") or shutil.which(
    ROOT / "build/prometheus/usr/bin/promtool"
)

LOAD = 'local rt = assert(ngx.load_ffi("ffi_python3", "app,Loop"))\n'
STREAM = LOAD + 'local stream = require("resty.ffi").stream\n'


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(http=ZONE, server=SERVER) as nginx:
        nginx.write_python("app.py", APP)
        yield nginx


def added(nginx: Nginx, before: Counts, n: int = 1) -> dict[str, int]:
    """What the last calls have counted as."""

    def new() -> Counts:
        said = report(nginx)
        return Counts() if in_flight(said) else counts(said) - before

    found = eventually(lambda: sum((c := new()).values()) >= n and c, "counts")
    assert found
    return {"/".join(key): value for key, value in found.items()}


def ask(nginx: Nginx, accept: str, uri: str = "/status") -> Response:
    connection = UnixConnection(nginx.socket, 15)
    try:
        connection.request("GET", uri, headers={"Accept": accept})
        answer = connection.getresponse()
        headers = dict(answer.getheaders())
        return Response(answer.status, headers, answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("code", "seen", "label"),
    [
        ('rt:echo("x")', [True, "x"], "app.Loop/echo/ok"),
        ("rt:fail()", [False, 3, "no"], "app.Loop/fail/error"),
        (
            'rt:never("x", {timeout = 30})',
            [False, "timeout"],
            "app.Loop/never/timeout",
        ),
        ('rt:parts("x")', [True, "part" * 3], "app.Loop/parts/ok"),
        ('rt:parts("fail")', [False, 4, "later"], "app.Loop/parts/error"),
    ],
)
def test_a_call(nginx: Nginx, code: str, seen: object, label: str) -> None:
    before = counts(report(nginx))
    assert nginx.lua(f"{LOAD} return {code}") == seen
    assert added(nginx, before) == {label: 1}


@pytest.mark.parametrize(
    ("request_", "read", "seen", "label"),
    [
        ("", "s:read()", "part", "app.Loop/parts/gone"),
        ("", "s:read(); s:close()", None, "app.Loop/parts/gone"),
        ("fail", "", None, "app.Loop/parts/error"),
        ("never", "", None, "app.Loop/parts/timeout"),
        ("", "", None, "app.Loop/parts/ok"),
    ],
)
def test_a_stream(
    nginx: Nginx, request_: str, read: str, seen: object, label: str
) -> None:
    read = read or "repeat local p = s:read() until not p"
    before = counts(report(nginx))
    nginx.lua(
        f"""{STREAM}
        local s = stream(rt, "parts", "{request_}", {{ read_timeout = 50 }})
        {read}
        """
    )
    assert added(nginx, before) == {label: 1}


def test_a_pipe(nginx: Nginx) -> None:
    before = counts(report(nginx))
    answer = nginx.post("/lua", f'{STREAM} stream(rt, "parts"):pipe()')
    assert answer.text.startswith("part" * 3)
    assert added(nginx, before) == {"app.Loop/parts/ok": 1}


def test_refused_calls(nginx: Nginx) -> None:
    before = counts(report(nginx))
    nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("refused", { max_request_bytes = 3 })
        assert(not rt:long("long"))
        rt:__unload()
        assert(not rt:late("x"))
        """
    )
    assert added(nginx, before, 2) == {
        "probe/long/refused": 1,
        "other/other/refused": 1,
    }


def test_a_caller_that_has_gone(nginx: Nginx) -> None:
    before = counts(report(nginx))
    nginx.lua(
        f"""{LOAD}
        local t = ngx.thread.spawn(rt.never, rt, "x", {{ timeout = 0 }})
        ngx.sleep(0.05)
        ngx.thread.kill(t)
        """
    )
    assert added(nginx, before) == {"app.Loop/never/gone": 1}


@pytest.mark.parametrize(
    ("do", "status", "outcome"),
    [
        ("head=200;part=abc", 200, "ok"),
        ("head=200,content-length:5;part=abc;end=0,de", 200, "ok"),
        ("head=204", 204, "ok"),
        ("head=404", 404, "ok"),
        ("head=500", 500, "ok"),
        ("end=7,text", 502, "error"),
        ("end=504,text", 504, "error"),
        ("head=200,content-length:5;part=abc", 200, "error"),
        ("head=200;part=abc;end=1,x", 200, "error"),
        ("end=0", 502, "error"),
        ("sleep=2000;head=200", 504, "timeout"),
        ("head=200;part=abc;sleep=2000", 200, "timeout"),
        ("head=200,x-accel-redirect:/ping", 200, "ok"),
    ],
)
def test_a_web_request(
    nginx: Nginx, do: str, status: int, outcome: str
) -> None:
    before = counts(report(nginx))
    with nginx.connect() as sock:
        sock.sendall(head(do, "", "GET /web/x HTTP/1.1"))
        line = sock.recv(4096)
        assert line.startswith(b"HTTP/1.1 %d " % status), line
        assert added(nginx, before) == {f"webprobe/GET/{outcome}": 1}


def test_a_client_that_has_gone(nginx: Nginx) -> None:
    before = counts(report(nginx))
    with nginx.connect() as sock:
        sock.sendall(head("head=200;gone", "", "POST /web/x HTTP/1.1"))
        eventually(lambda: in_flight(report(nginx)) == 1, "in flight")
    assert added(nginx, before) == {"webprobe/POST/gone": 1}


def test_unknown_http_methods_are_other(nginx: Nginx) -> None:
    before = counts(report(nginx))
    for name in ("BREW", "WHEN"):
        with nginx.connect() as sock:
            sock.sendall(head("head=200", "", f"{name} /web/x HTTP/1.1"))
            sock.recv(100)
    assert added(nginx, before, 2) == {"webprobe/other/ok": 2}


def test_bytes(nginx: Nginx) -> None:
    def method(name: str) -> tuple[int, int]:
        for rt in report(nginx)["runtimes"]:
            for m in rt["methods"]:
                if m["name"] == name:
                    return m["request_bytes"], m["response_bytes"]
        return 0, 0

    echoed, put = method("echo"), method("PUT")
    nginx.lua(LOAD + 'rt:echo(("x"):rep(1000)) rt:echo(nil)')
    connection = UnixConnection(nginx.socket, 15)
    connection.request(
        "PUT", "/web/x", b"y" * 70_000, headers={"do": "head=200;echo"}
    )
    assert len(connection.getresponse().read()) == 70_000
    connection.close()
    assert method("echo") == (echoed[0] + 1000, echoed[1] + 1000)
    assert method("PUT") == (put[0] + 70_000, put[1] + 70_000)


def test_times(nginx: Nginx) -> None:
    """As many as have ended, and in the right buckets."""
    nginx.lua(LOAD + 'rt:never("x", {timeout = 120}) rt:echo("x")')
    said = report(nginx)
    (rt,) = (rt for rt in said["runtimes"] if rt["name"] == "app.Loop")
    methods = {m["name"]: m for m in rt["methods"]}
    for m in methods.values():
        ended = m["ok"] + m["error"] + m["timeout"] + m["gone"]
        assert m["duration"]["count"] == sum(m["duration"]["buckets"])
        assert m["duration"]["count"] == ended
        assert m["wait"]["count"] <= ended
    low = said["bounds"].index(0.1) + 1
    assert sum(methods["never"]["duration"]["buckets"][low:]) >= 1
    assert methods["never"]["duration"]["sum"] >= 0.12


WAITS = """
import ctypes
from resty_ffi import serve

@serve(threads=2)
class Waits:
    def hold(self, request):
        ctypes.PyDLL(None).usleep(300_000)

    def echo(self, request):
        return request
"""


def test_waits_for_the_gil(nginx: Nginx) -> None:
    """Of threads that are to take calls, while another one keeps it."""
    nginx.write_python("waits.py", WAITS)
    load = 'local rt = assert(ngx.load_ffi("ffi_python3", "waits,Waits"))\n'

    def waits() -> dict[str, float]:
        for rt in report(nginx)["runtimes"]:
            if rt["name"] == "waits.Waits":
                assert isinstance(rt["lock_wait"], dict)
                return rt["lock_wait"]
        return {"count": 0, "sum": 0}

    def have_waited() -> bool:
        nginx.lua(
            f"""{load}
            local t = ngx.thread.spawn(rt.hold, rt)
            ngx.sleep(0.05)
            assert(rt:echo("x"))
            ngx.thread.wait(t)
            """
        )
        return waits()["sum"] > 0.1

    eventually(have_waited, "a wait", 60)
    said = waits()
    assert said["count"] >= 1
    nginx.lua(f"{load} rt:__unload()")
    for _ in range(3):
        nginx.lua(f"{load} assert(rt:echo('x')) rt:__reload()")
    eventually(lambda: waits()["count"] > said["count"], "those that ended")
    known = nginx.lua(
        """
        for _, rt in ipairs(require("resty.ffi").stats().runtimes) do
            if rt.name == "waits.Waits" then
                return rt.lock_wait.count, rt.lock_wait.sum
            end
        end
        """
    )
    assert isinstance(known, list)
    assert known[0] >= said["count"]
    assert known[1] >= said["sum"]
    text = samples(nginx.get("/status").text)
    label = frozenset({("runtime", "waits.Waits")})
    assert text["ffi_lock_wait_seconds_count", label] >= known[0]
    assert text["ffi_lock_wait_seconds_sum", label] >= known[1]


def test_stats_in_lua_are_the_same(nginx: Nginx) -> None:
    nginx.lua(LOAD + 'rt:echo("x")')
    names = nginx.lua(
        """
        local s = assert(require("resty.ffi").stats())
        for _, rt in ipairs(s.runtimes) do
            if rt.name == "app.Loop" then
                for _, m in ipairs(rt.methods) do
                    if m.name == "echo" then
                        return m.ok, #m.wait.buckets, #s.bounds,
                               s.workers[1].pid, s.workers[1].runtime
                    end
                end
            end
        end
        """
    )
    said = report(nginx)
    (worker,) = said["workers"]
    ok = counts(said)["app.Loop", "echo", "ok"]
    assert names == [ok, 23, 22, nginx.worker(), worker["runtime"]]
    assert worker["runtime"].startswith("CPython 3.")
    assert worker["threads"] > 1
    assert worker["resident_bytes"] > 1_000_000


# -- formats ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "accept", "type_"),
    [
        ("/status", "*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("/status", "application/json", "application/json"),
        (
            "/status",
            "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
        (
            "/status",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("/status?format=json", "text/html", "application/json"),
        ("/status?format=html", "*/*", "text/html; charset=utf-8"),
        (
            "/status?format=prometheus",
            "text/html",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    ],
)
def test_formats(nginx: Nginx, uri: str, accept: str, type_: str) -> None:
    answer = ask(nginx, accept, uri)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == type_
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_other_requests(nginx: Nginx) -> None:
    assert nginx.get("/status?format=xml").status == 400
    assert nginx.post("/status", "x").status == 405
    assert nginx.request("HEAD", "/status").status == 200


NAMES = ('quo"ted', "back\\slash", "new\nline", "<b>&amp;", "tab\t", "ü€")


def lua_calls(names: tuple[str, ...]) -> str:
    calls = ""
    for name in names:
        text = "".join(f"\\{byte:03d}" for byte in name.encode())
        calls += f'rt["{text}"](rt, "x")\n'
    return 'local rt = assert(ngx.load_ffi("probe", "names", {}))\n' + calls


def test_names_of_all_kinds(nginx: Nginx) -> None:
    nginx.lua(lua_calls(NAMES))
    nginx.lua(
        'local rt = assert(ngx.load_ffi("probe", "names"))\n'
        r'rt["\255bad\237\160\128\000\127"](rt, "x")'
    )
    found = {key[1] for key in counts(report(nginx))}
    assert found >= {*NAMES, "?bad?????"}, found
    text = nginx.get("/status").body.decode()
    labels = {
        dict(names).get("method")
        for name, names in samples(text)
        if name == "ffi_calls_total"
    }
    assert labels >= {*NAMES, "?bad?????"}
    assert "<b>" not in nginx.get("/status?format=json").text


def test_samples_agree_with_json(nginx: Nginx) -> None:
    nginx.lua(LOAD + 'rt:echo("x") rt:fail()')
    text = nginx.get("/status").body.decode()
    said = counts(report(nginx))
    found = samples(text)
    for (runtime, method, outcome), n in said.items():
        labels = frozenset(
            {"runtime": runtime, "method": method, "outcome": outcome}.items()
        )
        assert found["ffi_calls_total", labels] == n
    labels = frozenset({"runtime": "app.Loop", "method": "echo"}.items())
    last = frozenset({*labels, ("le", "+Inf")})
    for name in ("wait", "run", "duration"):
        name = f"ffi_call_{name}_seconds"
        assert found[f"{name}_bucket", last] == found[f"{name}_count", labels]


def test_openmetrics(nginx: Nginx) -> None:
    nginx.lua(lua_calls(NAMES) + LOAD + 'rt:echo("x")')
    text = nginx.get("/status?format=openmetrics").body.decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    families = {family.name: family for family in parse(text)}
    assert families["ffi_calls"].type == "counter"
    assert families["ffi_call_wait_seconds"].type == "histogram"
    assert families["ffi_lock_wait_seconds"].type == "summary"
    found = {s.labels["method"] for s in families["ffi_calls"].samples}
    assert found >= {*NAMES, "echo"}
    seen = {
        (s.name, frozenset(s.labels.items())): s.value
        for family in families.values()
        for s in family.samples
        if family.type in ("counter", "histogram", "summary")
    }
    plain = samples(nginx.get("/status").body.decode())
    assert seen.keys() <= plain.keys()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_is_content(nginx: Nginx) -> None:
    assert PROMTOOL
    nginx.lua(lua_calls(NAMES))
    nginx.lua(LOAD + 'rt:echo("x") rt:fail()')
    text = nginx.get("/status").body
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"],
        input=text,
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- bounds -----------------------------------------------------------------


def test_methods_are_bounded(alone_with_zone: Nginx) -> None:
    nginx = alone_with_zone
    nginx.lua(
        """
        local rt = assert(ngx.load_ffi("probe", "many"))
        for i = 1, 100 do assert(rt["m" .. i](rt, "x")) end
        for i = 1, 100 do assert(rt["m" .. i](rt, "x")) end
        """
    )
    found = counts(report(nginx))
    names = {key[1] for key in found}
    assert len(names) == 33
    assert sum(found.values()) == 200
    (other,) = (n for key, n in found.items() if key[1] == "other")
    assert other == 2 * (100 - 32)


@pytest.fixture
def alone_with_zone(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(http=ZONE, server=SERVER) as nginx:
        nginx.write_python("app.py", APP)
        yield nginx


def test_a_full_zone_still_counts(new_nginx: NewNginx, libs: Path) -> None:
    """As "other": of the runtime, or of those that have no place."""
    zone = "ffi_status_zone small 160k;"
    with new_nginx(http=zone, server=SERVER) as nginx:
        for i in range(8):
            copy = nginx.prefix / f"libmany{i}.so"
            shutil.copy(libs / "libprobe.so", copy)
            nginx.lua(
                f"""
                local rt = assert(ngx.load_ffi("{copy}"))
                for i = 1, 40 do assert(rt["m" .. i](rt, "x")) end
                """
            )
        said = report(nginx)
        found = counts(said)
        assert said["zone"]["full"] > 0
        assert sum(found.values()) == 320
        assert 64 < len(found) < 160
        assert found["other", "other", "ok"] >= 40
        assert nginx.count_log(FULL) == 1


FULL = r'\[warn\] .*FFI017: .*further runtimes and methods count as "other"'

MANY = r"""
for i = %d, %d do
    local rt = assert(ngx.load_ffi("probe", 'name=r"\\\n' .. i,
                                   { max_queue = 16 }))
    assert(rt["m'" .. i .. "\n"](rt, "x"))
    rt:__unload()
end
"""


def test_ten_thousand_runtimes(new_nginx: NewNginx) -> None:
    """The zone's room bounds what is shown; nobody waits, and none is lost."""
    total = 10_000 // SLOWNESS
    with new_nginx(http=ZONE, server=SERVER) as nginx:
        for i in range(0, total, 250):
            nginx.lua(MANY % (i + 1, min(i + 250, total)))
        said = report(nginx)
        found = counts(said)
        assert sum(found.values()) == total
        assert 200 < len(said["runtimes"]) < 1000
        others = found["other", "other", "ok"]
        assert others == total - len(found) + 1
        assert said["zone"]["full"] >= others
        assert nginx.count_log(FULL) == 1
        labels = {
            tuple(dict(names).get(label) for label in ("runtime", "method"))
            for name, names in samples(nginx.get("/status").body.decode())
            if name == "ffi_calls_total"
        }
        assert labels == {key[:2] for key in found}
        assert ('r"\\\n1', "m'1\n", "ok") in found
        assert nginx.get("/status?format=openmetrics").text.endswith("EOF\n")
        assert nginx.get("/status?format=html").status == 200
        known = nginx.lua(
            r"""
            local n, named = 0, 0
            for _, rt in ipairs(require("resty.ffi").stats().runtimes) do
                n = n + rt.ok
                named = named + (rt.name:find('^r"\\\n%d+$') and 1 or 0)
            end
            return n, named
            """
        )
        assert known == [total, len(said["runtimes"]) - 1]
        hang_while_others_are_served(nginx)


def hang_while_others_are_served(nginx: Nginx) -> None:
    """By a scraper that reads nothing of what no socket has room for."""
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            slow = stack.enter_context(nginx.connect())
            slow.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3):
            nginx.lua(MANY % (1, 1))
            assert len(nginx.get("/status").body) > 1 << 20


def test_a_scraper_that_hangs_blocks_nobody(nginx: Nginx) -> None:
    with nginx.connect() as slow:
        slow.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3):
            assert nginx.lua(LOAD + 'return rt:echo("x")') == [True, "x"]
            assert nginx.get("/status").status == 200


# -- configuration ----------------------------------------------------------


@pytest.mark.parametrize(
    ("http", "server", "text"),
    [
        ("ffi_status_zone x 8k;", "", "is too small for 1 workers"),
        ("ffi_status_zone x 100;", "", "is too small"),
        ("ffi_status_zone x y;", "", 'invalid zone size "y"'),
        ("ffi_status_zone x 0;", "", 'invalid zone size "0"'),
        ("ffi_status_zone x 1m; ffi_status_zone x 1m;", "", "is duplicate"),
        ("", "location = /s { ffi_status; }", "needs"),
        (ZONE, "location = /s { ffi_status some; }", "takes nothing"),
        ("ffi_status_zone x;", "", "invalid number of arguments"),
    ],
)
def test_bad_configurations(
    new_nginx: NewNginx, http: str, server: str, text: str
) -> None:
    good, said = new_nginx(http=http, server=server).test_configuration()
    assert not good
    assert text in said, said


def test_the_size_depends_on_the_workers(new_nginx: NewNginx) -> None:
    http = "ffi_status_zone x 128k;"
    assert new_nginx(http=http, workers=2).test_configuration()[0]
    good, said = new_nginx(http=http, workers=50).test_configuration()
    assert not good
    assert "too small for 50 workers" in said


def test_nothing_is_counted_without_a_zone(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        assert nginx.lua('return require("resty.ffi").stats()') == [
            None,
            "nothing is counted here: see ffi_status_zone",
        ]
        ok = 'return ngx.load_ffi("probe", "x"):echo("x")'
        assert nginx.lua(ok) == [True, "x"]


def test_allow_and_deny(new_nginx: NewNginx) -> None:
    server = "location = /status { deny all; ffi_status; }"
    with new_nginx(http=ZONE, server=server) as nginx:
        assert nginx.get("/status").status == 403


def test_a_process_without_a_master(new_nginx: NewNginx) -> None:
    with new_nginx(http=ZONE, server=SERVER, master=False) as nginx:
        nginx.lua('return ngx.load_ffi("probe", "x"):echo("x")')
        assert sum(counts(report(nginx)).values()) == 1


def test_json_is_json(nginx: Nginx) -> None:
    parse: Callable[[bytes], object] = json.loads
    assert parse(nginx.get("/status?format=json").body)


def test_the_dashboard_asks_for_what_is_there(nginx: Nginx) -> None:
    nginx.lua(LOAD + 'rt:echo("x")')
    text = nginx.get("/status").text
    board = json.loads((ROOT / "packaging/grafana/ffi.json").read_text())
    asked = [t["expr"] for p in board["panels"] for t in p["targets"]]
    names = set(re.findall(r"\bffi_\w+", " ".join(asked)))
    assert len(names) > 8
    assert names <= {name for name, _ in samples(text)}
    labels = set(re.findall(r"(?<=by \()[^)]*", " ".join(asked)))
    assert labels
    for group in labels:
        for label in group.split(", "):
            assert f'{label}="' in text
