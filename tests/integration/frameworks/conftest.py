# SPDX-License-Identifier: BSD-2-Clause
"""One nginx without Lua, whose locations are applications of frameworks."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..client import PATIENCE
from ..web import Web

HERE = Path(__file__).resolve().parent

HTTP = f"""
    python_venv {sys.prefix};
    python_path {HERE};
    python_env FRAMEWORKS_FOLDER {{prefix}};
"""

# /bare/ is the application of /starlette/, without a root_path
SERVER = """
    listen 127.0.0.1:{port} backlog=1024;
    location /starlette/ {{
        python_pass apps.starlette_app:app asgi root_path=/starlette;
    }}
    location /bare/ {{
        python_pass apps.starlette_app:app asgi;
        python_param shelf "$request_method $arg_shelf";
    }}
    location /fastapi/ {{
        python_pass apps.fastapi_app:app root_path=/fastapi;
    }}
    location /flask/ {{
        python_pass apps.flask_app:make() root_path=/flask;
    }}
    location /django/asgi/ {{
        python_pass apps.django_site.app:asgi root_path=/django/asgi;
    }}
    location /django/wsgi/ {{
        python_pass apps.django_site.app:wsgi root_path=/django/wsgi;
    }}
    location /squeezed/ {{
        python_pass apps.starlette_app:app asgi root_path=/squeezed;
        gzip on;
        gzip_types *;
        gzip_min_length 1;
    }}
"""


@pytest.fixture(scope="session")
def port() -> int:
    """One that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        number: int = sock.getsockname()[1]
        return number


@pytest.fixture(scope="session")
def site(libs: Path, port: int) -> Iterator[Web]:
    with Web(libs, http=HTTP, server=SERVER.format(port=port)) as nginx:
        yield nginx


@pytest.fixture(scope="module", autouse=True)
def watch(site: Web) -> Iterator[None]:
    """nginx's worker must outlive each file's tests."""
    with site.watch():
        yield


@pytest.fixture
def client(site: Web) -> Iterator[httpx.Client]:
    """It keeps cookies for one test."""
    transport = httpx.HTTPTransport(uds=str(site.socket), verify=False)
    with httpx.Client(
        transport=transport, base_url="http://site.test", timeout=PATIENCE
    ) as client:
        yield client


@pytest.fixture
def tcp(port: int, site: Web) -> Iterator[httpx.Client]:
    """A client with an address."""
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(
        base_url=url, timeout=PATIENCE, verify=False, trust_env=False
    ) as client:
        yield client
