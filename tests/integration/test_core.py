# SPDX-License-Identifier: BSD-2-Clause
"""The core without Lua, and how it is built and loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from .checker import COMPILER
from .nginx import BUILD, NGINX_BIN, NGINX_MODULES, ROOT, Nginx
from .nginx import user_directive as user

# a distribution's has no sources, only what a module needs
NGINX_SRC = Path(
    os.environ.get("TEST_NGINX_SRC")
    or os.environ.get("NGINX_SRC")
    or "/usr/share/nginx/src"
).absolute()
CORE = BUILD / "modules" / "ngx_http_ffi_module.so"
LUA = BUILD / "modules" / "ngx_http_lua_ffi_module.so"
LUA_TOO = [
    NGINX_MODULES / "ndk_http_module.so",
    NGINX_MODULES / "ngx_http_lua_module.so",
    LUA,
]
DIRECTIVES = "ffi_exit_timeout 2s; ffi_umask 027;"

CONF = """\
{load}
{user}
daemon off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    scgi_temp_path {prefix}/scgi;
    uwsgi_temp_path {prefix}/uwsgi;
    {directives}
    server {{
        listen unix:{prefix}/http.sock;
        root {prefix}/html;
    }}
}}
"""


class Core(Nginx):
    """One in whose configuration is no Lua."""

    def __init__(
        self,
        load: Sequence[Path],
        directives: str = DIRECTIVES,
        binary: str | Path = NGINX_BIN,
    ) -> None:
        super().__init__()
        self._binary = str(binary)
        self.conf.write_text(
            CONF.format(
                load="\n".join(f'load_module "{path}";' for path in load),
                user=user(),
                directives=directives,
                prefix=self.prefix,
            )
        )
        (self.prefix / "html").mkdir()
        (self.prefix / "html" / "ping").write_text("static")

    def _command(self) -> list[str]:
        return [
            self._binary if word == NGINX_BIN else word
            for word in super()._command()
        ]

    def complaints(self) -> list[str]:
        """Lines of error.log that are not nginx's own of its life."""
        life = re.compile(
            r"\[notice\] \d+#\d+: (?:using the|nginx/|built by|OS: |getrlimit"
            r"|start |signal |reconfiguring|gracefully|exiting|exit|worker "
            r"|cache manager)"
        )
        lines = self.log().splitlines()
        return [line for line in lines if not life.search(line)]


def serves(nginx: Core) -> None:
    """From its start to its end, with a reload in between."""
    with nginx:
        answer = nginx.get("/ping")
        assert (answer.status, answer.body) == (200, b"static")
        worker = nginx.worker()
        nginx.reload()
        nginx.wait_gone(worker)
        assert nginx.get("/ping").status == 200
        assert nginx.get("/none").status == 404
        nginx.quit()
        nginx.wait()
        assert nginx._process
        assert nginx._process.returncode == 0
        said = [line for line in nginx.complaints() if "html/none" not in line]
        assert not said, "\n".join(said)


@pytest.mark.valgrind
def test_it_serves() -> None:
    serves(Core([CORE]))


@pytest.mark.parametrize(
    ("directives", "good", "said"),
    [
        (DIRECTIVES, True, "test is successful"),
        ("ffi_umask 888;", False, "must be octal"),
        ("ffi_timeout 1s;", True, "test is successful"),
        ("ffi_load_timeout 1s;", True, "test is successful"),
        ("ffi_stream_buffer 0;", False, "must not be 0"),
        ("lua_code_cache on;", False, 'unknown directive "lua_code_cache"'),
    ],
)
def test_directives(directives: str, good: bool, said: str) -> None:
    passed, output = Core([CORE], directives).test_configuration()
    assert passed == good
    assert said in output


@pytest.mark.parametrize("files", [[CORE, *LUA_TOO], [*LUA_TOO, CORE]])
def test_both_files(files: list[Path]) -> None:
    passed, output = Core(files).test_configuration()
    assert not passed
    assert 'module "ngx_http_ffi_module" is already loaded' in output


def test_the_file_with_lua_needs_the_lua_module() -> None:
    passed, output = Core([LUA]).test_configuration()
    assert not passed
    assert re.search(r"undefined symbol: (lua|ngx_http_lua)_", output)


def exports(*paths: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "exports.py"
    header = ROOT / "include" / "resty_ffi.h"
    return subprocess.run(
        [sys.executable, script, header, *paths],
        capture_output=True,
        text=True,
    )


def test_exports(tmp_path: Path) -> None:
    """Those of a file of another's are seen as wrong."""
    loader = BUILD / "lib" / "libffi_python3.so"
    done = exports(CORE, LUA, loader)
    assert (done.returncode, done.stderr) == (0, "")

    path = tmp_path / "ngx_http_ffi_module.so"
    source = tmp_path / "module.c"
    source.write_text("int ngx_modules, ngx_http_ffi_module, stray;")
    build = [*COMPILER, "-shared", "-o", str(path), str(source)]
    subprocess.run(build, check=True)
    done = exports(path)
    assert done.returncode == 1
    assert f"{path} must not export stray\n" in done.stderr
    assert f"{path} must export resty_ffi_log\n" in done.stderr


# -- in nginx's own file ------------------------------------------------


def rules(makefile: Path) -> Counter[str]:
    """The objects for which there is a rule, and how many."""
    return Counter(
        re.findall(r"^(objs/\S+\.o):", makefile.read_text(), re.MULTILINE)
    )


def of_ours(objects: Counter[str]) -> set[str]:
    ours = re.compile(r"addon/(?:bridge|core|request|http|lua)/\w+\.o")
    return {Path(name).name for name in objects if ours.search(name)}


def test_each_source_has_one_rule_in_the_dynamic_build() -> None:
    objects = rules(BUILD / "nginx" / "objs" / "Makefile")
    assert of_ours(objects)
    assert set(objects.values()) == {1}


def configure(tree: Path, *flags: str) -> Path:
    """A copy of nginx's sources with the module in it; its Makefile."""
    scripts = (NGINX_SRC / "configure", NGINX_SRC / "auto" / "configure")
    script = next(filter(Path.exists, scripts), None)
    if not script:
        pytest.skip(f"nginx's sources are not in {NGINX_SRC}")
    shutil.copytree(NGINX_SRC, tree)
    shutil.rmtree(tree / "objs", ignore_errors=True)
    addon = tree.parent / "addon"
    for name in ("VERSION", "config", "include", "src", "lua", "scripts"):
        source = ROOT / name
        addon.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, addon / name)
        else:
            shutil.copy(source, addon)
    said = subprocess.run(
        [
            tree / script.relative_to(NGINX_SRC),
            *("--prefix=.", "--without-http_gzip_module"),
            *("--without-http_rewrite_module", "--with-cc-opt=-O0"),
            *(f"--with-cc={' '.join(COMPILER)}", f"--add-module={addon}"),
        ],
        cwd=tree,
        env={**os.environ, **dict(flag.split("=") for flag in flags)},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return tree / "objs" / "Makefile"


def modules(makefile: Path) -> list[str]:
    text = makefile.with_name("ngx_modules.c").read_text()
    return re.findall(r"&(ngx_http_\w*ffi(?:_pass)?_module),", text)


def test_a_static_build_with_lua_has_each_source_once(tmp_path: Path) -> None:
    makefile = configure(tmp_path / "nginx")
    objects = rules(makefile)
    assert set(objects.values()) == {1}
    both = Path(BUILD / "nginx" / "objs" / "Makefile")
    assert of_ours(objects) == of_ours(rules(both))
    # whose exit_process, which ends waits of Lua code, comes first
    assert modules(makefile) == [
        "ngx_http_lua_ffi_module",
        "ngx_http_ffi_module",
        "ngx_http_ffi_pass_module",
    ]
    # filters are put before those that were there
    ours = "ngx_http_lua_ffi_filter_module"
    order = re.findall(
        r"&(\w+),", makefile.with_name("ngx_modules.c").read_text()
    )
    assert order.index("ngx_http_write_filter_module") < order.index(ours)
    assert order.index(ours) < order.index("ngx_http_copy_filter_module")


def test_a_static_build_without_lua(tmp_path: Path) -> None:
    tree = tmp_path / "nginx"
    makefile = configure(tree, "FFI_LUA=NO")
    objects = rules(makefile)
    assert set(objects.values()) == {1}
    assert modules(makefile) == [
        "ngx_http_ffi_module",
        "ngx_http_ffi_pass_module",
    ]
    assert not any("ngx_ffi_lua_" in name for name in objects)

    if not (tree / "src" / "core" / "nginx.c").exists():
        pytest.skip(f"not all of nginx's sources are in {NGINX_SRC}")
    make = ["make", "-s", "-j2", "-f", "objs/Makefile", "binary"]
    built = subprocess.run(make, cwd=tree, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    serves(Core([], binary=tree / "objs" / "nginx"))
    passed, output = Core(
        [CORE], binary=tree / "objs" / "nginx"
    ).test_configuration()
    assert not passed, output
