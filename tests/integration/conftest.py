# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .checker import ALL, CFLAGS, COMPILER, VALGRIND
from .nginx import BUILD, HERE, ROOT, Nginx
from .web import Web

NewNginx = Callable[..., Nginx]

NGINX_HEADERS = [
    f"-isystem{BUILD}/nginx/{folder}"
    for folder in (
        "objs",
        "src/core",
        "src/event",
        "src/event/modules",
        "src/event/quic",
        "src/os/unix",
        "src/http",
        "src/http/modules",
        "src/http/v2",
        "src/http/v3",
    )
]

# source, library, flags
LIBRARIES = [
    ("async", "async", []),
    ("badinit", "badinit", []),
    ("faults", "faults", []),
    ("filter", "filter", NGINX_HEADERS),
    ("noinit", "noinit", []),
    ("probe", "probe", []),
    ("starts", "starts", []),
    ("streams", "streams", []),
    ("symbol", "symbol_local", ["-DSYMBOL=symbol_local"]),
    ("symbol", "symbol_global", ["-DSYMBOL=symbol_global"]),
    ("version", "version1", ['-DVERSION="1"']),
    ("web", "webprobe", []),
    ("web", "webasync", ["-DASYNC"]),
    ("version", "version2", ['-DVERSION="2"']),
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "valgrind: also run under valgrind, and under ASan"
    )
    config.addinivalue_line(
        "markers",
        "asan: of those, under ASan alone: valgrind sees no more in it than"
        " in others, and takes 10 s to start Python",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if ALL:
        return
    ours = [item for item in items if HERE in item.path.parents]
    out = {item for item in ours if not is_checked(item)}
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]


def is_checked(item: pytest.Item) -> bool:
    if VALGRIND and item.get_closest_marker("asan"):
        return False
    return item.get_closest_marker("valgrind") is not None


@pytest.fixture(scope="session")
def libs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C runtimes of c/, built."""
    folder = tmp_path_factory.mktemp("lib")
    for source, name, flags in LIBRARIES:
        subprocess.run(
            [
                *COMPILER,
                *("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"),
                *("-shared", "-fPIC", "-pthread", f"-I{ROOT}/include"),
                *CFLAGS,
                *flags,
                *("-o", folder / f"lib{name}.so", HERE / f"c/{source}.c"),
            ],
            check=True,
        )
    return folder


@pytest.fixture(scope="session")
def new_nginx(libs: Path) -> NewNginx:
    """Nginx(...), with the C runtimes where the linker finds them."""

    def new(**settings: Any) -> Nginx:
        return Nginx(library_path=[libs], **settings)

    return new


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    """One for all tests of a file; files may bring their own."""
    with new_nginx() as nginx:
        yield nginx


@pytest.fixture
def alone(new_nginx: NewNginx) -> Iterator[Nginx]:
    """A server for one test, which counts what happens in it."""
    with new_nginx() as nginx:
        yield nginx


@pytest.fixture
def nginx(server: Nginx) -> Iterator[Nginx]:
    """The file's server; its worker must outlive each test."""
    with server.watch():
        yield server


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, libs: Path) -> Iterator[Web]:
    """As server, with the locations that the file calls SERVER."""
    with Web(libs, server=request.module.SERVER) as web:
        yield web


@pytest.fixture
def web(shared: Web) -> Iterator[Web]:
    """All that a test has begun comes to its end."""
    with shared.watch():
        yield shared
        shared.settle()
