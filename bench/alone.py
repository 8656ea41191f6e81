# SPDX-License-Identifier: BSD-2-Clause
"""An nginx with one application and nothing beside it."""

from __future__ import annotations

from pathlib import Path

from .server import BUILD, NGINX, user

CONF = """\
load_module "{modules}/ngx_http_ffi_module.so";
{user}
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    python_path {folder};
    server {{
        listen {listen};
        location / {{ python_pass app:app; }}
    }}
}}
"""


def configure(
    folder: Path, listen: str, *, workers: int, connections: int
) -> list[str]:
    """The command of an nginx whose application is app.py in folder."""
    conf = folder / "nginx.conf"
    conf.write_text(
        CONF.format(
            modules=BUILD / "modules",
            user=user(),
            workers=workers,
            connections=connections,
            folder=folder,
            listen=listen,
        )
    )
    return [NGINX, "-e", f"{folder}/error.log", "-c", str(conf)]
