# SPDX-License-Identifier: BSD-2-Clause
"""pip install .: the wheel has what nginx takes, and finds it by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import PATIENCE, UnixConnection, eventually
from .nginx import BUILD, NGINX_BIN, NGINX_MODULES, ROOT, user_directive

pytestmark = [
    pytest.mark.skipif(
        BUILD != ROOT / "build", reason="it compiles without a sanitizer"
    ),
    pytest.mark.timeout(900),
]

APP = """
import sys
from resty_ffi import serve

@serve
def where(request: bytes) -> str:
    return sys.prefix

def app(environ, start_response):
    start_response("200 OK", [])
    return [sys.prefix.encode()]
"""
CONF = """
{load}
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    {temporary}
    python_path {folder};
    {venv}
    server {{
        listen unix:{folder}/sock;
        location / {{ python_pass app:app; }}
        {server}
    }}
}}
"""
LUA = """
location = /lua {
    content_by_lua_block {
        local ffi = require "resty.ffi"
        ffi.respond(assert(ffi.load("ffi_python3", "app,where")))
    }
}
"""
# what would have it find those of the tree
ENVIRON = {
    name: value
    for name, value in os.environ.items()
    if name not in ("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
}
# make deps has put them into the tree
UNPACKED = BUILD / "nginx-dev/usr/share/nginx/src"
if UNPACKED.exists():
    ENVIRON.setdefault("NGINX_SRC", str(UNPACKED))


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRON, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sdist(folder: Path) -> Path:
    """The archive alone has what a wheel is made of."""
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module", params=["tree", "sdist"])
def venv(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """One that has the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = sdist(folder) if request.param == "sdist" else ROOT
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    assert f"-cp{sys.version_info[0]}{sys.version_info[1]}-" in wheel.name
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "--quiet", "install", "--no-deps", wheel)
    return folder / "venv"


@pytest.fixture
def paths(venv: Path) -> list[str]:
    """What nginx.conf takes."""
    text = run(venv / "bin" / "python", "-m", "resty_ffi", "paths")
    return text.splitlines()


@pytest.fixture(params=["without-lua", "with-lua"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, paths: list[str]
) -> Iterator[Path]:
    lua = request.param == "with-lua"
    load = [
        line.removeprefix("# ")
        for line in paths
        if "load_module" in line and line.startswith("#") == lua
    ]
    assert len(load) == 1
    if lua:
        names = ("ndk_http_module", "ngx_http_lua_module")
        load[:0] = [f"load_module {NGINX_MODULES}/{n}.so;" for n in names]
    conf = CONF.format(
        folder=tmp_path,
        load="\n".join(load),
        user=user_directive(),
        venv=next(line for line in paths if line.startswith("python_venv")),
        server=LUA if lua else "",
        temporary="\n".join(
            f"{name}_temp_path {tmp_path}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
        ),
    )
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "nginx.conf").write_text(conf)
    process = subprocess.Popen(
        [NGINX_BIN, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "log"],
        env=ENVIRON,
    )
    try:
        eventually((tmp_path / "sock").exists, "nginx listens")
        yield tmp_path / "sock"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def get(sock: Path, path: str) -> str:
    connection = UnixConnection(sock, PATIENCE)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


@pytest.mark.skipif(
    not Path("/usr/share/nginx/src/configure").exists()
    and not (BUILD / "nginx-dev").exists(),
    reason="nginx's sources are not where a wheel looks for them",
)
def test_what_nginx_takes(server: Path, venv: Path) -> None:
    """A name finds the loader of the wheel, too."""
    assert get(server, "/") == str(venv)
    if "lua_module" in (server.parent / "nginx.conf").read_text():
        assert get(server, "/lua") == str(venv)


def test_without_a_compiler(tmp_path: Path) -> None:
    """What handlers' own tests need."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps"),
            *("--wheel-dir", tmp_path, ROOT),
        ],
        env={**ENVIRON, "RESTY_FFI_PURE": "1", "CC": "false"},
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "resty_ffi", "paths"],
        env={**ENVIRON, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "was installed without the loader" in done.stderr
