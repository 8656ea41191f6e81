# SPDX-License-Identifier: BSD-2-Clause
"""The command: its arguments, and what it makes of them."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from pathlib import Path

from ._conf import Conf, ConfError
from ._foreground import Foreground, say
from ._nginx import Nginx, NginxError
from ._watch import Watch

WATCH_FILE = "imported"


class RefusedError(Exception):
    """Of an argument, or of the machine."""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="resty-ffi-") as home:
            return _serve(options, Path(home))
    except (ConfError, NginxError, RefusedError) as error:
        say(str(error))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resty_ffi serve",
        description="Serves a web application with nginx, in the foreground.",
    )
    add = parser.add_argument
    add(
        "app",
        metavar="[directory/]module:attribute",
        help="of ASGI or WSGI; module:make() is what make() returns",
    )
    add("--host", default="127.0.0.1", help="(%(default)s)")
    add("--port", type=_port, default=8000, help="(%(default)s); 0: any")
    add("--workers", type=_count, default=1, metavar="N", help="(%(default)s)")
    add(
        "--watch",
        action="store_true",
        help="a new worker takes over when a .py file changes; and pages say"
        " what has failed",
    )
    add(
        "--static",
        type=_static,
        action="append",
        default=[],
        metavar="/URI/=DIRECTORY",
        help="files that nginx answers with; may be given several times",
    )
    add("--interface", choices=["asgi", "wsgi"], help="(it is found out)")
    add("--nginx", metavar="FILE", help="the nginx that runs")
    add("--module", metavar="FILE", help="its ngx_http_ffi_module.so")
    add(
        "--print-conf",
        action="store_true",
        help="prints the nginx.conf, and serves nothing",
    )
    return parser


def _port(text: str) -> int:
    return _number(text, range(65536))


def _count(text: str) -> int:
    return _number(text, range(1, 513))


def _number(text: str, bounds: range) -> int:
    if not text.isdecimal() or int(text) not in bounds:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {bounds[0]} to {bounds[-1]}"
        )
    return int(text)


def _static(text: str) -> tuple[str, str]:
    uri, sign, directory = text.partition("=")
    if not sign or not directory or not uri.startswith("/") or uri == "/":
        raise argparse.ArgumentTypeError(f"{text!r} is not /uri/=directory")
    return f"{uri.rstrip('/')}/", directory


def _serve(options: argparse.Namespace, home: Path) -> int:
    nginx = Nginx(options.nginx)
    directory, app = _app(options.app)
    if not os.path.isdir(directory):
        raise RefusedError(f"there is no directory {directory}")
    for _, place in options.static:
        if not os.path.isdir(place):
            raise RefusedError(f"--static: there is no directory {place}")
    told = home / WATCH_FILE
    port, prints = options.port, options.print_conf
    if port == 0 or not prints:
        port = _free_port(options.host, port)
    conf = Conf(
        app=app,
        interface=options.interface,
        listen=_listen(options.host, port, options.workers > 1),
        workers=options.workers,
        module=nginx.module(options.module),
        mime_types=nginx.mime_types(),
        python_path=_python_path(directory),
        venv=_venv(),
        environ=list(os.environ),
        static=[
            (uri, os.path.join(os.path.abspath(place), ""))
            for uri, place in options.static
        ],
        watch=options.watch,
        told=str(told) if options.watch and not prints else None,
    )
    if prints:
        sys.stdout.write(conf.text())
        return 0

    file = home / "nginx.conf"
    file.write_text(conf.text(), errors="surrogateescape")
    told.touch()
    arguments = ["-e", "stderr", "-p", f"{home}/", "-c", str(file)]
    nginx.check(arguments, file)
    environ = {
        name: value for name, value in os.environ.items() if name != "NGINX"
    }
    watch = Watch(conf.python_path, told) if options.watch else None
    url = _url(options.host, port)

    def started() -> None:
        say(f"{options.app} is at {url}; Ctrl-C ends it")

    return Foreground(
        [nginx.binary, *arguments],
        pid=home / "nginx.pid",
        environ=environ,
        watch=watch,
        started=started,
    ).run()


def _app(text: str) -> tuple[str, str]:
    """Where its module is, and module:attribute."""
    directory, slash, name = text.rpartition("/")
    if ":" not in name:
        raise RefusedError(f"{text!r} is not [directory/]module:attribute")
    return directory or slash or ".", name


def _python_path(first: str) -> list[str]:
    """With the current directory, and what there is besides."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = map(os.path.abspath, filter(None, [first, ".", *paths]))
    return list(dict.fromkeys(found))


def _venv() -> str | None:
    """That of this Python, or the one that is activated."""
    if sys.prefix != sys.base_prefix:
        return sys.prefix
    return os.environ.get("VIRTUAL_ENV") or None


def _addresses(host: str, port: int) -> list[tuple[int, str, int]]:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise RefusedError(f"--host {host}: {error}") from None
    unique = dict.fromkeys(
        (int(family), str(address[0]), int(address[1]))
        for family, _, _, _, address in found
    )
    return list(unique)


def _free_port(host: str, port: int) -> int:
    """That one, or for 0 any; nginx would try for seconds, or share it."""
    for family, address, _ in _addresses(host, port):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address, port))
            except OSError as error:
                place = _place(address, port)
                raise RefusedError(
                    f"cannot listen on {place}: {error.strerror}"
                ) from None
            port = sock.getsockname()[1]
    return port


def _listen(host: str, port: int, several: bool) -> list[str]:
    more = " reuseport" if several else ""
    return [
        f"{_place(address, port)}{more}"
        for _, address, _ in _addresses(host, port)
    ]


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(host: str, port: int) -> str:
    return f"http://{_place(host, port)}"
