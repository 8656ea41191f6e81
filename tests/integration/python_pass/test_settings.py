# SPDX-License-Identifier: BSD-2-Clause
"""The interpreter's surroundings: path, environment, packages, threads."""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ..client import eventually
from ..test_python_venv import make_venv
from .site import Site

ASK = "location / { python_pass app:app; }"

# answers with the result of the expression in the query
APP = """
import json, os, sys, threading, time
from urllib.parse import unquote

AT_IMPORT = dict(os.environ)
HERE = os.path.dirname(__file__)

def evaluate(query):
    return json.dumps(eval(unquote(query)), default=repr).encode()

def app(environ, start_response):
    global ENVIRON
    ENVIRON = environ
    start_response("200 OK", [])
    return [evaluate(environ["QUERY_STRING"])]
"""

# the same, in a runtime of Lua's
SERVED = """
from resty_ffi import serve
from app import evaluate

@serve
def served(request):
    return evaluate(request.decode())
"""
LUA = """
    location /lua {
        content_by_lua_block {
            local rt = assert(ngx.load_ffi("ffi_python3", "served,served"))
            local ok, res = rt:call(ngx.var.args)
            ngx.say(res)
        }
    }
"""
APPS = {"app.py": APP, "served.py": SERVED}


def tell(nginx: Site, expression: str, uri: str = "/") -> Any:
    quoted = "".join(f"%{byte:02x}" for byte in expression.encode())
    return json.loads(nginx.text(f"{uri}?{quoted}"))


FILE = b"""\
\xef\xbb\xbfFIRST=1
# NO=comment
  # NO=comment either

A=plain
B= spaced
C="in quotes, with # and = and  spaces "
D='it is "quoted"'
E=
F=""
export G=exported
\texport  H=twice
I=a # b
J="open
K=$A ${B}
L=crlf\r
M="crlf in quotes"\r
N=\xc3\xa9
O=first
O=second
LAST=no newline"""

HTTP = """
    python_env PLAIN value;
    python_env SPACES "a  b ";
    python_env QUOTES 'say "hi"';
    python_env EMPTY "";
    python_env DOLLAR $host;
    python_env EQUALS a=b=c;
    python_env OVER new;
    python_env PASSED new;
    python_env AGAIN first;
    python_env AGAIN second;
    python_env FROM_BOTH directive;
    python_env_file env;
    python_path more;
    python_path also/this {prefix};
    python_threads 3;
"""


@pytest.fixture(scope="module", params=["/", "/lua"])
def uri(request: pytest.FixtureRequest) -> str:
    """An application; and a runtime of Lua's in the same worker."""
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    site = Site(
        ASK + LUA,
        apps=APPS,
        main="env OVER=old; env PASSED; env KEPT=kept;",
        http=HTTP,
        lua=True,
        environ={"PASSED": "old", "HIDDEN": "hidden"},
    )
    (site.prefix / "env").write_bytes(FILE)
    with site as nginx:
        yield nginx


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLAIN", "value"),
        ("SPACES", "a  b "),
        ("QUOTES", 'say "hi"'),
        ("EMPTY", ""),
        ("DOLLAR", "$host"),
        ("EQUALS", "a=b=c"),
        ("OVER", "new"),
        ("PASSED", "new"),
        ("KEPT", "kept"),
        ("AGAIN", "second"),
        ("HIDDEN", None),
        ("FIRST", "1"),
        ("NO", None),
        ("A", "plain"),
        ("B", " spaced"),
        ("C", "in quotes, with # and = and  spaces "),
        ("D", 'it is "quoted"'),
        ("E", ""),
        ("F", ""),
        ("G", "exported"),
        ("H", "twice"),
        ("I", "a # b"),
        ("J", '"open'),
        ("K", "$A ${B}"),
        ("L", "crlf"),
        ("M", "crlf in quotes"),
        ("N", "é"),
        ("O", "second"),
        ("LAST", "no newline"),
    ],
)
def test_environment(
    nginx: Site, uri: str, name: str, value: str | None
) -> None:
    """Before the first import, and for child processes."""
    for where in ("os.environ", "AT_IMPORT"):
        assert tell(nginx, f"{where}.get({name!r})", uri) == value
    shell = f"os.popen('printf %s:%s ${{{name}-unset}} end').read()"
    if value and " " not in value and '"' not in value:
        assert tell(nginx, shell, uri) == f"{value}:end"


def test_path(nginx: Site, uri: str) -> None:
    """Relative to nginx.conf's folder, in the order of the directives."""
    folder = nginx.prefix
    assert tell(nginx, "sys.path[:4]", uri) == [
        str(nginx.python_dir),
        f"{folder}/more",
        f"{folder}/also/this",
        str(folder),
    ]


def test_home_of_the_workers_user(nginx: Site, uri: str) -> None:
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert tell(nginx, "os.environ['HOME']", uri) == home
    assert tell(nginx, "AT_IMPORT['HOME']", uri) == home


@pytest.mark.parametrize(
    ("main", "http", "home"),
    [
        ("env HOME=/of/env;", "", "/of/env"),
        ("env HOME;", "", "/passed"),
        ("env HOME=/of/env;", "python_env HOME /own;", "/own"),
        ("", 'python_env HOME "";', ""),
    ],
)
def test_home_as_it_is_said(main: str, http: str, home: str) -> None:
    environ = {"HOME": "/passed"}
    with Site(ASK, apps=APPS, main=main, http=http, environ=environ) as nginx:
        assert tell(nginx, "os.environ['HOME']") == home


def test_env_says_that_it_is_passed_and_it_is_not() -> None:
    site = Site(ASK, apps=APPS, main="env HOME;")
    site._environ.pop("HOME", None)
    with site as nginx:
        home = pwd.getpwuid(os.geteuid()).pw_dir
        assert tell(nginx, "os.environ['HOME']") == home


def test_threads() -> None:
    """As many requests at once, and no more."""
    app = (
        APP
        + """
lock = threading.Lock()
now = most = 0

def busy(environ, start_response):
    global now, most
    with lock:
        now += 1
        most = max(now, most)
    time.sleep(0.05)
    with lock:
        now -= 1
    start_response("200 OK", [])
    return [str(most).encode()]
"""
    )
    server = ASK + "location /busy { python_pass app:busy; }"
    http = "python_threads 3;"
    with Site(server, apps={"app.py": app}, http=http) as nginx:
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda _: nginx.text("/busy"), range(24)))
        assert tell(nginx, "most") == 3


def test_max_queue() -> None:
    """One more is refused at once."""
    app = """
import time
from pathlib import Path
here = Path(__file__).parent
def app(environ, start_response):
    (here / "asked").touch()
    while not (here / "go").exists():
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"well"]
"""
    http = "python_threads 1; python_max_queue 2;"
    with Site(ASK, apps={"app.py": app}, http=http) as nginx:
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(nginx.get, "/")
            eventually((nginx.python_dir / "asked").exists, "it is asked")
            rest = [pool.submit(nginx.get, "/") for _ in range(5)]
            eventually(
                lambda: sum(answer.done() for answer in rest) == 3, "refused"
            )
            (nginx.python_dir / "go").touch()
            statuses = [answer.result().status for answer in rest]
            assert first.result().status == 200
        assert sorted(statuses) == [200, 200, 503, 503, 503]


# ---- virtual environments


def test_a_venv(tmp_path: Path) -> None:
    """Its packages; ours are found beside the loader."""
    venv = make_venv(tmp_path / "venv")
    facts = """[
        sys.prefix, sys.executable, __import__("of_the_venv").__file__,
        __import__("by_pth").__name__, os.environ["VIRTUAL_ENV"],
        os.path.realpath(sys.modules["resty_ffi"].__file__),
    ]"""
    expression = " ".join(facts.split())
    with Site(ASK, apps=APPS, http=f"python_venv {venv};") as nginx:
        prefix, python, module, by_pth, said, ours = tell(nginx, expression)
        assert prefix == said == str(venv)
        assert python == f"{venv}/bin/python"
        assert module.startswith(f"{venv}/lib")
        assert by_pth == "by_pth"
        assert ours.endswith("/python/resty_ffi/__init__.py")


def test_a_venv_relative_to_nginx_conf() -> None:
    site = Site(ASK, apps=APPS, http="python_venv its/venv;")
    make_venv(site.prefix / "its" / "venv")
    with site as nginx:
        assert tell(nginx, "sys.prefix") == f"{nginx.prefix}/its/venv"


def other_version(folder: Path) -> Path:
    minor = f"3.{sys.version_info[1] + 1}"
    return make_venv(folder, f"version = {minor}.1", minor=minor)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder, "is no virtual environment: pyvenv.cfg: No "),
        (other_version, r"is of Python 3\.\d+, the loader of Python 3\.\d+"),
    ],
)
def test_no_venv(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    """Nothing is imported, and its user is told why."""
    venv = make(tmp_path / "venv")
    app = "open(__file__ + '.imported', 'w')\n" + APP
    http = f"python_venv {venv};"
    with Site(ASK, apps={"app.py": app}, http=http, master=False) as nginx:
        assert nginx.get("/").status == 502
        nginx.wait_log(f'cannot load "app:app": .*VIRTUAL_ENV {venv} {said}')
        assert not (nginx.python_dir / "app.py.imported").exists()


# ---- reloads


def test_a_reload_changes_all_of_it() -> None:
    """Old workers keep what they have."""
    hold = """
def hold(environ, start_response):
    open(HERE + "/asked", "w").close()
    while not os.path.exists(HERE + "/go"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return [evaluate("[os.environ.get('ONE'), os.environ.get('TWO')]")]
"""
    server = ASK + "location /hold { python_pass app:hold; }"
    site = Site(
        server,
        apps={"app.py": APP + hold},
        main="env THREE=3;",
        http="python_env ONE 1; python_env TWO 2; python_path one;",
    )
    expression = "[os.environ.get(n) for n in ('ONE', 'TWO', 'THREE')]"
    with site as nginx:
        assert tell(nginx, expression) == ["1", "2", "3"]
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(nginx.text, "/hold")
            eventually((nginx.python_dir / "asked").exists, "it is asked")
            nginx.configure(
                main="", http="python_env TWO two; python_path two;"
            )
            nginx.reload()
            eventually(
                lambda: tell(nginx, expression) == [None, "two", None],
                "new workers",
            )
            path = tell(nginx, "sys.path")
            assert f"{nginx.prefix}/two" in path
            assert f"{nginx.prefix}/one" not in path
            (nginx.python_dir / "go").touch()
            assert json.loads(held.result()) == ["1", "2"]


def test_a_reload_with_a_mistake_changes_nothing() -> None:
    with Site(ASK, apps=APPS, http="python_env ONE 1;") as nginx:
        nginx.allow_log("has a name that no variable can have")
        assert tell(nginx, "os.environ['ONE']") == "1"
        nginx.configure(http="python_env ONE 2; python_env A=B c;")
        nginx.signal(signal.SIGHUP)
        nginx.wait_log("has a name that no variable can have")
        assert tell(nginx, "os.environ['ONE']") == "1"
