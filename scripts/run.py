# SPDX-License-Identifier: BSD-2-Clause
"""Serves an nginx.conf in the foreground, with all that it needs to load.

Called by `make run`, which passes NGINX_BIN, CONF, APP, WATCH and PORT in the
environment. APP is what `python -m resty_ffi serve` takes. CONF is served as a
copy, in which only main-level and http-level directives that it lacks are
added; nginx itself says which. Python has the packages of the virtual
environment that is activated; else, where the file passes requests to web
applications, those that requirements.txt beside it says, in an environment of
its own; else those of build/venv.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from resty_ffi._command import Foreground, Watch  # noqa: E402

BUILD = ROOT / "build"
DEMO = ROOT / "conf" / "nginx.conf"
DEMO_PORT = "20000"
KAFKA = ("localhost", 9092)
KAFKA_PACKAGES = ROOT / "requirements" / "kafka.txt"
ENV = ("PYTHONPATH", "VIRTUAL_ENV", "LUA_PATH")
WATCH_ENV = ("RESTY_FFI_WATCH", "PYTHONDONTWRITEBYTECODE")
TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
DEBIAN_MODULES = Path("/usr/lib/nginx/modules")

TOKEN = re.compile(
    r"""\#[^\n]* | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | [;{}]
    | (?: \\. | \$\{ | [^\s;{}\\] )+""",
    re.VERBOSE | re.DOTALL,
)
REFUSED = re.compile(
    r'"(\w+)" directive is duplicate'
    r'|unknown directive "(\w+)"'
    r'|module "(\w+)" is already loaded'
)
OWN_VENV = re.compile(r"^[^#]*\bpython_venv\b", re.MULTILINE)
VERSION = re.compile(r"^version(?:_info)? *= *(\d+\.\d+)", re.M | re.I)
USES_KAFKA = re.compile(r"^[^#]*\bffi\.kafka\b", re.MULTILINE)
PYTHON_PASS = re.compile(r"^[^#]*\bpython_pass\b", re.MULTILINE)
OF_LUA = re.compile(r"lua_\w+|\w+_by_lua\w*")
CORE = "ngx_http_ffi_module"
WITH_LUA = "ngx_http_lua_ffi_module"


def die(text: str) -> NoReturn:
    sys.exit(f"make run: {text}")


def quoted(path: Path | str) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def blocks(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, begin and position behind the brace, of main-level blocks."""
    depth = 0
    name, begin = "", -1
    for match in TOKEN.finditer(text):
        token = match[0]
        if token.startswith("#"):
            continue
        if token in "{};":
            if token == "{" and depth == 0:
                yield name, begin, match.end()
            depth += {"{": 1, "}": -1, ";": 0}[token]
            name, begin = "", -1
        elif begin < 0:
            name, begin = token, match.start()


def with_added(text: str, main: str, http: str) -> str:
    """No line moves, so nginx's messages name the right ones."""
    places: dict[int, str] = {}
    for name, begin, inside in blocks(text):
        if not places:
            places[begin] = main + " "
        if name == "http":
            places[inside] = " " + http
            break
    for place in sorted(places, reverse=True):
        text = text[:place] + places[place] + text[place:]
    return text


def mirror(source: Path, target: Path, but: str) -> None:
    """Relative paths of a configuration begin where its file stands."""
    target.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        for entry in source.iterdir():
            if entry.name != but:
                (target / entry.name).symlink_to(entry)


def run_or_die(*command: str | Path) -> None:
    if subprocess.run(command, check=False).returncode:
        die("it cannot be installed")


def install(python: Path, requirements: Path) -> None:
    quiet = ["--quiet", "--disable-pip-version-check"]
    run_or_die(python, "-m", "pip", "install", *quiet, "-r", requirements)


def install_once(requirements: Path, venv: Path) -> Path:
    """Until requirements changes."""
    has, wanted = venv / "requirements.txt", requirements.read_text()
    if not has.exists() or has.read_text() != wanted:
        print(f"installing what {requirements} says to {venv}", flush=True)
        run_or_die(sys.executable, "-m", "venv", "--clear", venv)
        install(venv / "bin" / "python", requirements)
        has.write_text(wanted)
    return venv


def home_of(name: str, key: str) -> Path:
    """A folder for what is kept from one run to the next."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return BUILD / "run" / f"{name}-{digest[:8]}"


def activated() -> Path | None:
    """The environment of users' own that they have activated."""
    venv = Path(os.environ.get("VIRTUAL_ENV") or BUILD / "venv").absolute()
    if venv == BUILD / "venv":
        return None
    with contextlib.suppress(OSError):
        cfg = (venv / "pyvenv.cfg").read_text()
        version = VERSION.search(cfg)
        ours = "{}.{}".format(*sys.version_info)
        if version and version[1] != ours:
            die(
                f"the activated {venv} is of Python {version[1]}, the loader"
                f" of Python {ours}: make run PYTHON={venv}/bin/python"
                " compiles one for that, and deactivate leaves it out"
            )
    print(f"Python has the packages of {venv}, which is activated")
    return venv


class Server:
    """watched: its workers write to the file `told` what they import."""

    def __init__(
        self, binary: str, conf: Path, port: str, watched: bool = False
    ) -> None:
        self.binary = binary
        self.conf = conf
        self.port = port
        self.watched = watched
        self.text = conf.read_text()
        self._served: str | None = self.text
        if ROOT in conf.parents:
            self.text = re.sub(rf"\b{DEMO_PORT}\b", port, self.text)
        self.home = home_of(conf.stem, f"{conf}:{port}")
        self.told = self.home / "imported"
        folder = conf.parent
        self.prefix = folder.parent if folder.name == "conf" else folder
        tree = self.home / "tree"
        self.copy = tree / folder.name / conf.name

        shutil.rmtree(tree, ignore_errors=True)
        mirror(folder.parent, tree, folder.name)
        mirror(folder, self.copy.parent, conf.name)
        (self.home / "temp").mkdir(parents=True, exist_ok=True)

        self.loaded: tuple[str, ...] = (CORE,)
        self.main = dict(self._main())
        self.http = dict(self._http())
        self.environ = self._environ()

    def _main(self) -> Iterator[tuple[str, str]]:
        yield CORE, self._load(CORE)
        if os.geteuid() == 0:
            user = pwd.getpwuid(0).pw_name
            yield "user", f"user {user} {grp.getgrgid(os.getgid()).gr_name};"
        yield "daemon", "daemon off;"
        yield "pid", f"pid {quoted(self.home / 'nginx.pid')};"
        for name in (*ENV, *(WATCH_ENV if self.watched else ())):
            yield f"env {name}", f"env {name};"
        if self.watched:
            yield "worker_shutdown_timeout", "worker_shutdown_timeout 1s;"

    def _load(self, name: str) -> str:
        file = f"{name}.so"
        found = BUILD / "modules"
        if name not in (CORE, WITH_LUA):
            said = self._nginx("-V").stderr
            path = re.search(r"--modules-path=(\S+)", said)
            own = Path(path[1]) if path else DEBIAN_MODULES
            found = own if (own / file).exists() else DEBIAN_MODULES
        return f"load_module {quoted(found / file)};"

    def _load_lua(self) -> bool:
        """In the place of the core alone; False where it is there already."""
        if WITH_LUA in self.loaded:
            return False
        self.main.pop(CORE, None)
        self.loaded = ("ndk_http_module", "ngx_http_lua_module", WITH_LUA)
        lua = {name: self._load(name) for name in self.loaded}
        self.main = {**lua, **self.main}
        return True

    def _http(self) -> Iterator[tuple[str, str]]:
        for name in TEMP:
            directive = f"{name}_temp_path"
            path = self.home / "temp" / name
            yield directive, f"{directive} {quoted(path)};"
        yield "access_log", f"access_log {quoted(self.home / 'access.log')};"
        if self.watched:
            yield "ffi_show_errors", "ffi_show_errors on;"

    def _environ(self) -> dict[str, str]:
        environ = dict(os.environ)

        def put_first(name: str, *paths: Path) -> None:
            old = os.environ.get(name, "")
            environ[name] = ":".join([*map(str, paths), *filter(None, [old])])

        own = self.conf.parent
        put_first("LD_LIBRARY_PATH", BUILD / "lib")
        put_first("PYTHONPATH", own, ROOT / "python")
        lua = [own / "?.lua", own / "?" / "init.lua", ROOT / "lua" / "?.lua"]
        old = os.environ.get("LUA_PATH", ";")
        environ["LUA_PATH"] = ";".join([*map(str, lua), old, ""])
        venv = activated() or self._venv() or BUILD / "venv"
        environ["VIRTUAL_ENV"] = str(venv)
        if self.watched:
            environ["RESTY_FFI_WATCH"] = str(self.told)
            environ["PYTHONDONTWRITEBYTECODE"] = "1"
        return environ

    @property
    def python(self) -> Path:
        return Path(self.environ["VIRTUAL_ENV"]) / "bin" / "python"

    def uses_kafka(self) -> bool:
        return bool(USES_KAFKA.search(self.text))

    def require_kafka(self) -> None:
        """The packages of ffi.kafka, in build/venv; others' is theirs."""
        if self.python == BUILD / "venv" / "bin" / "python":
            if not importlib.util.find_spec("confluent_kafka"):
                print(f"installing what {KAFKA_PACKAGES} says", flush=True)
                install(self.python, KAFKA_PACKAGES)
        elif subprocess.run(
            [self.python, "-c", "import confluent_kafka, orjson"],
            capture_output=True,
        ).returncode:
            print(
                f"{self.environ['VIRTUAL_ENV']} lacks what ffi.kafka needs:"
                f" pip install -r {KAFKA_PACKAGES}"
            )

    def _venv(self) -> Path | None:
        """With what the web applications require, as it stands beside."""
        requirements = self.conf.parent / "requirements.txt"
        if (
            not requirements.is_file()
            or not PYTHON_PASS.search(self.text)
            or OWN_VENV.search(self.text)
        ):
            return None
        return install_once(requirements, self.home / "venv")

    def _nginx(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.binary, *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=getattr(self, "environ", None),
        )

    def command(self) -> list[str]:
        return ["-e", "stderr", "-p", f"{self.prefix}/", "-c", str(self.copy)]

    def prepare(self) -> None:
        """Adds what the file lacks, until nginx takes it.

        The core is loaded, or, as soon as nginx meets a directive of Lua's,
        also in an included file, the core and Lua.
        """
        while True:
            main, http = self.main.values(), self.http.values()
            self.copy.write_text(
                with_added(self.text, " ".join(main), " ".join(http))
            )
            tested = self._nginx(*self.command(), "-t")
            if tested.returncode == 0:
                break
            refused = REFUSED.search(tested.stderr)
            name = refused and next(filter(None, refused.groups()))
            if name and OF_LUA.fullmatch(name) and self._load_lua():
                continue
            if not name or not (
                self.main.pop(name, None) or self.http.pop(name, None)
            ):
                said = tested.stderr.replace(str(self.copy), str(self.conf))
                sys.exit(said.rstrip())
        if re.search(r"^\s*daemon\s+on\s*;", self.text, re.MULTILINE):
            die(f"{self.conf} says 'daemon on', this runs in the foreground")

    def serve(self) -> None:
        os.chdir(self.prefix)
        sys.stdout.flush()
        os.execve(self.binary, ["nginx", *self.command()], self.environ)

    def serve_watched(self) -> int:
        os.chdir(self.prefix)
        sys.stdout.flush()
        self.told.write_text("")
        return Foreground(
            [self.binary, *self.command()],
            environ=self.environ,
            pid=self.home / "nginx.pid" if "pid" in self.main else None,
            watch=Watch([str(self.conf.parent)], self.told, [str(self.conf)]),
            prepare=self._prepare_again,
        ).run()

    def _prepare_again(self) -> str | None:
        """Where the file is another one; why that cannot be served."""
        try:
            read = self.conf.read_text()
            if read != self._served:
                self._served = None
                Server(self.binary, self.conf, self.port, True).prepare()
                self._served = read
        except (SystemExit, OSError) as error:
            return str(error)
        return None


def serve_app(binary: str, app: str, port: str, watched: bool) -> NoReturn:
    """With what requirements.txt beside it says."""
    directory, _, name = app.rpartition("/")
    folder = Path(directory or ".").resolve()
    requirements = folder / "requirements.txt"
    venv = activated()
    if venv is None and requirements.is_file():
        home = home_of(folder.name, str(folder))
        venv = install_once(requirements, home / "venv")
    venv = venv or BUILD / "venv"
    python = str(venv / "bin" / "python")
    command = [python, "-m", "resty_ffi", "serve", name, "--port", port]
    command += ["--nginx", binary]
    command += ["--module", str(BUILD / "modules" / f"{CORE}.so")]
    command += ["--watch"] if watched else []
    paths = [str(ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONPATH": ":".join(filter(None, paths))}
    try:
        os.chdir(folder)
    except OSError as error:
        die(f"APP={app}: {error.strerror}")
    sys.stdout.flush()
    os.execve(python, command, environ)


def listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 2).close()
        return True
    return False


def start_broker(server: Server) -> None:
    """It dies with this process, which becomes nginx."""
    host, port = KAFKA
    broker = subprocess.Popen(
        [
            *(server.python, "-m", "ffi.kafka.devbroker"),
            *("--port", str(port), "--parent", str(os.getpid())),
        ],
        cwd=ROOT,
        env=server.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert broker.stdout
    if broker.stdout.readline():
        print(
            f"no Kafka broker on {host}:{port}: one that keeps everything in"
            " memory runs there, and loses it all when nginx ends: to try"
            " things out only"
        )
    else:
        print(f"no Kafka broker on {host}:{port}, and none could be started")


def main() -> None:
    binary = os.environ.get("NGINX_BIN", "/usr/sbin/nginx")
    port = os.environ.get("PORT") or DEMO_PORT
    conf = Path(os.environ.get("CONF") or DEMO).resolve()
    found = shutil.which(binary)
    if not found:
        die(f"there is no nginx at {binary}")
    if not conf.is_file():
        die(f"there is no {conf}")
    if not port.isdigit() or not 0 < int(port) < 65536:
        die(f"PORT={port} is no port")

    binary = str(Path(found).absolute())
    app, watched = os.environ.get("APP"), bool(os.environ.get("WATCH"))
    if app:
        serve_app(binary, app, port, watched)
    server = Server(binary, conf, port, watched)
    server.prepare()
    if server.uses_kafka():
        server.require_kafka()
        if not listens(*KAFKA):
            start_broker(server)
    if conf == DEMO:
        print(f"nginx serves http://localhost:{port}/")
    else:
        print(f"nginx serves {conf}")
    if watched:
        sys.exit(server.serve_watched())
    server.serve()


if __name__ == "__main__":
    main()
