# SPDX-License-Identifier: BSD-2-Clause
"""Where python_pass may stand, and that an application is there once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ..client import Response, eventually
from .site import Site

# says who answers, and how it was asked
ASGI = """
import itertools, json, os, threading

class App:
    def __init__(self, name):
        self.name = name
        self.lifespans = 0
        self.threads = set()

    async def __call__(self, scope, receive, send):
        self.threads.add(threading.get_ident())
        if scope["type"] == "lifespan":
            self.lifespans += 1
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if "refused" in scope["path"]:
            status = 401
        elif "missing" in scope["path"]:
            status = 404
        else:
            status = 200
        answer = {
            "app": self.name, "path": scope["path"],
            "root_path": scope["root_path"],
            "method": scope["method"], "lifespans": self.lifespans,
            "threads": len(self.threads), "pid": os.getpid(),
            "params": scope.get("state", {}).get("params"),
        }
        headers = [(b"content-type", b"application/json")]
        if status == 401:
            headers.append((b"www-authenticate", b"Basic"))
        await send({"type": "http.response.start", "status": status,
                    "headers": headers})
        await send({"type": "http.response.body",
                    "body": json.dumps(answer).encode()})

app = App("app")
other = App("other")

class Holder:
    app = App("dotted")
    class Inner:
        app = App("deeper")

made = []

def make():
    made.append(App(f"made {len(made)}"))
    return made[-1]
"""

WSGI = """
import json

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    keys = ("SCRIPT_NAME", "PATH_INFO", "REQUEST_METHOD", "A", "B", "C")
    answer = {key: environ[key] for key in keys if key in environ}
    return [json.dumps(answer).encode()]
"""

SERVER = """
    location / { python_pass app:app; }
    location = /exact { python_pass app:app; }
    location /prefix/ {
        python_pass app:other;
        location /prefix/nested { python_pass app:app; }
        location /prefix/bare { return 200 "bare"; }
        location /prefix/none { alias {prefix}/python/; }
    }
    location ~ \\.(php|py)$ { python_pass app:other; }
    location ~ ^/users/(\\w+) {
        python_param user $1;
        python_pass app:app;
    }
    location /named { try_files /no/such/file @app; }
    location @app { python_pass app:other; }
    location /if {
        if ($arg_other) { python_pass app:other; }
        python_pass app:app;
    }
    location /only_if {
        if ($arg_app) { python_pass app:app; }
        root {prefix}/pages;
    }
    location /limited {
        python_pass app:app;
        limit_except GET { python_pass app:other; }
    }
    location /denied {
        python_pass app:app;
        limit_except GET { deny all; }
    }
    location /errors {
        error_page 404 = /of_error_page;
        return 404;
    }
    location = /of_error_page { python_pass app:other; }
    location /auth/ok { auth_request /check; python_pass app:app; }
    location /auth/no { auth_request /check/refused; python_pass app:app; }
    location /check { internal; python_pass app:other; }
    location /mirrored { mirror /mirror; python_pass app:app; }
    location = /mirror { internal; python_pass count:app; }
    location = /mirrors { python_pass count:read; }
    location /ssi { ssi on; default_type text/html; alias {prefix}/pages/; }
    location /included { python_pass app:other; }
    location /rewritten { rewrite ^/rewritten/(.*) /to/$1 last; }
    location /dotted { python_pass app:Holder.app; }
    location /deeper { python_pass app:Holder.Inner.app; }
    location /factory { python_pass app:make(); }
    location /factory/again { python_pass app:make(); }
    location /factory/second { python_pass app:make() name=second; }
    location /renamed { python_pass app:app name=renamed; }
    location /forced { python_pass app:app asgi; }
    location /directory { python_pass {prefix}/apps/there:app; }
    location /package { python_pass package.module:app; }
    location /rooted { python_pass app:app root_path=/rooted; }
    location /wsgi { python_pass wsgi:app; }
    location /wsgi/rooted { python_pass wsgi:app root_path=/wsgi/rooted; }
"""

COUNT = """
count = 0

def app(environ, start_response):
    global count
    count += 1
    start_response("200 OK", [])
    return [b""]

def read(environ, start_response):
    start_response("200 OK", [])
    return [str(count).encode()]
"""

HTTP = """
    server {
        listen unix:{prefix}/other.sock;
        location / { python_pass app:app; }
    }
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    apps = {
        "app.py": ASGI,
        "wsgi.py": WSGI,
        "count.py": COUNT,
        "package/__init__.py": "",
        "package/module.py": WSGI,
        "../apps/there.py": WSGI,
        "../pages/page": 'a<!--# include virtual="/included" -->b',
    }
    with Site(SERVER, apps=apps, http=HTTP) as nginx:
        yield nginx


def answer(nginx: Site, uri: str, method: str = "GET") -> dict[str, object]:
    said: Response = nginx.request(method, uri)
    assert said.status == 200, said
    found = json.loads(said.body)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/", "app"),
        ("/any", "app"),
        ("/exact", "app"),
        ("/prefix/x", "other"),
        ("/prefix/nested", "app"),
        ("/x.php", "other"),
        ("/users/joe", "app"),
        ("/named", "other"),
        ("/if", "app"),
        ("/if?other=1", "other"),
        ("/only_if?app=1", "app"),
        ("/limited", "app"),
        ("/errors", "other"),
        ("/auth/ok", "app"),
        ("/dotted", "dotted"),
        ("/deeper", "deeper"),
        ("/forced", "app"),
        ("/renamed", "app"),
    ],
)
def test_which_application(nginx: Site, uri: str, name: str) -> None:
    assert answer(nginx, uri)["app"] == name


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/users/joe", "/users/joe"),
        ("/named/x", "/named/x"),
        ("/errors/x", "/of_error_page"),
        ("/rewritten/x", "/to/x"),
        ("/if/a?other=1", "/if/a"),
    ],
)
def test_which_path(nginx: Site, uri: str, path: str) -> None:
    assert answer(nginx, uri)["path"] == path


def test_no_location_inherits_it(nginx: Site) -> None:
    assert nginx.text("/prefix/bare") == "bare"
    assert nginx.get("/prefix/none/app.py").status in (200, 404)
    assert nginx.get("/only_if").status == 404


def test_a_prefix_without_its_slash(nginx: Site) -> None:
    """A redirect, as with proxy_pass."""
    said = nginx.get("/prefix")
    assert said.status == 301
    assert said.headers["Location"].endswith("/prefix/")


def test_limit_except(nginx: Site) -> None:
    assert answer(nginx, "/limited", "PUT")["app"] == "other"
    assert answer(nginx, "/denied", "GET")["app"] == "app"
    assert nginx.request("PUT", "/denied").status == 403


def test_auth_request(nginx: Site) -> None:
    said = nginx.get("/auth/no")
    assert said.status == 401
    assert said.headers["www-authenticate"] == "Basic"


def test_mirror(nginx: Site) -> None:
    before = int(nginx.text("/mirrors"))
    assert answer(nginx, "/mirrored")["app"] == "app"
    eventually(lambda: int(nginx.text("/mirrors")) == before + 1, "a mirror")


def test_ssi(nginx: Site) -> None:
    text = nginx.text("/ssi/page")
    assert (text[0], text[-1]) == ("a", "b")
    assert json.loads(text[1:-1])["app"] == "other"


def test_one_application(nginx: Site) -> None:
    """In all locations and servers: one lifespan, one thread."""
    uris = ["/", "/exact", "/users/a", "/if", "/limited", "/rooted"]
    for uri in uris:
        said = answer(nginx, uri)
        # of /, /renamed and /forced: each their own
        assert said["lifespans"] == 3
        assert said["threads"] == 3
    with nginx.at("other.sock"):
        assert answer(nginx, "/")["lifespans"] == 3


def test_factories(nginx: Site) -> None:
    """One each, however many locations have it."""
    first = answer(nginx, "/factory")
    assert answer(nginx, "/factory/again")["app"] == first["app"]
    second = answer(nginx, "/factory/second")
    assert {first["app"], second["app"]} == {"made 0", "made 1"}
    assert first["lifespans"] == second["lifespans"] == 1


def test_a_directory(nginx: Site) -> None:
    assert answer(nginx, "/directory")["PATH_INFO"] == "/directory"
    assert answer(nginx, "/package")["PATH_INFO"] == "/package"


def test_root_path(nginx: Site) -> None:
    """ASGI's path has it; in WSGI it is apart."""
    said = answer(nginx, "/rooted/x")
    assert (said["root_path"], said["path"]) == ("/rooted", "/rooted/x")
    assert answer(nginx, "/rooted")["path"] == "/rooted"
    assert nginx.get("/rootedx").status == 404
    said = answer(nginx, "/wsgi/rooted/x")
    assert (said["SCRIPT_NAME"], said["PATH_INFO"]) == ("/wsgi/rooted", "/x")
    assert answer(nginx, "/wsgi")["SCRIPT_NAME"] == ""


# ---- python_param


PARAMS = """
    python_param A server;
    python_param B $request_method;
    location / { python_pass wsgi:app; }
    location /own { python_param A own; python_pass wsgi:app; }
    location /if {
        if ($arg_c) { python_param C $arg_c; }
        python_pass wsgi:app;
    }
    location /asgi { python_param A "$arg_x-$uri"; python_pass app:app; }
    location /empty { python_param A $arg_none; python_pass wsgi:app; }
"""


def test_params() -> None:
    """Inherited as nginx's own: where a level has none of its own."""
    apps = {"wsgi.py": WSGI, "app.py": ASGI}
    with Site(PARAMS, apps=apps) as nginx:
        said = answer(nginx, "/x")
        assert (said["A"], said["B"]) == ("server", "GET")
        said = answer(nginx, "/own")
        assert (said["A"], "B" in said) == ("own", False)
        said = answer(nginx, "/if?c=1")
        assert (said["C"], "A" in said) == ("1", False)
        said = answer(nginx, "/if")
        assert (said["A"], "C" in said) == ("server", False)
        said = answer(nginx, "/asgi?x=1")
        assert said["params"] == {"A": "1-/asgi"}
        assert answer(nginx, "/empty")["A"] == ""


def test_a_name_in_error_log() -> None:
    """name= tells two instances apart."""
    app = """
        def app(environ, start_response):
            raise RuntimeError("raised")
    """
    server = """
        location /one { python_pass app:app name=first; }
        location /two { python_pass app:app name=second; }
    """
    with Site(server, apps={"app.py": app}) as nginx:
        assert nginx.get("/one").status == 500
        nginx.wait_log("first.*RuntimeError: raised")
        since = len(nginx.log())
        assert nginx.get("/two").status == 500
        nginx.wait_log("second.*RuntimeError: raised", since)


REFUSED = {
    "none:app": "No module named 'none'; it is not in /.*/python, /.*",
    "none.sub:app": "No module named 'none'; it is not in /.*/python, /.*",
    "email.none:app": "No module named 'email.none'; it is not in /.*/email$",
    "json.tool.x:app": "'json.tool' is not a package$",
    "app.py:app": "a module's name has no .py: app$",
    "needs:app": "No module named 'absent'; the packages are those of /.*",
    "app:none": "AttributeError: module 'app' has no attribute 'none'",
    "app:number": "TypeError: 'int' object is not callable",
    "app:number()": "TypeError: 'int' object is not callable",
    "app:returns_none()": "TypeError: 'NoneType' object is not callable",
    "app:raises()": "ValueError: why not",
    "app:factory": "with () behind its name, what it returns is the app",
    "app:Class": r": \(\*, text: str = 'x{10,70}\.\.\.; with \(\) ",
    "app:double": "TypeError: it takes a scope alone, as in ASGI 2",
    "app:any": "python_pass has to say asgi, or wsgi",
    "app:exits()": "SystemExit: 3",
    "syntax:app": "SyntaxError: ",
}


def test_what_cannot_start() -> None:
    apps = {
        "app.py": """
            import sys
            number = 1
            returns_none = print
            def raises(): raise ValueError("why not")
            def double(scope): return None
            def any(*args): return None
            def exits(): sys.exit(3)
            def factory(): return None
            class Class:
                def __init__(self, *, text: str = "x" * 100_000) -> None: pass
        """,
        "needs.py": "import absent",
        "syntax.py": "def",
        "well.py": WSGI,
    }
    server = "location = /well { python_pass well:app; }" + "".join(
        f"location = /{i} {{ python_pass {target}; }}"
        for i, target in enumerate(REFUSED)
    )
    with Site(server, apps=apps) as nginx:
        for i, (target, why) in enumerate(REFUSED.items()):
            assert nginx.get(f"/{i}").status == 502
            nginx.wait_log(
                f'(?m)cannot load "{target}": ffi_python3: .*{why}'.replace(
                    "()", r"\(\)"
                )
            )
        assert nginx.get("/well").status == 200
