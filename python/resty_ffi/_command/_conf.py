# SPDX-License-Identifier: BSD-2-Clause
"""The nginx.conf of one application."""

from __future__ import annotations

import grp
import os
import pwd
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

TEMP = ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")

# Those that have a meaning for nginx, or that a directive sets.
NOT_PASSED_ON = {"NGINX", "NGINX_BPF", "PYTHONPATH", "VIRTUAL_ENV", "_"}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

CONF = """\
# python -m resty_ffi serve
{load}{user}\
daemon off;
worker_processes {workers};
worker_shutdown_timeout {drain};
pid nginx.pid;
error_log stderr warn;
{env}

events {{
    worker_connections 1000;
}}

http {{
{http}
    server {{
{server}
    }}
}}
"""

LOG_FORMAT = (
    'log_format serve \'$remote_addr:$remote_port - "$request" $status'
    " ${request_time}s';"
)


class ConfError(Exception):
    """What cannot be said in an nginx.conf, or must not be."""


def quoted(value: str | Path) -> str:
    """A parameter of a directive that takes no variables."""
    text = str(value)
    bad = re.search(r"[\x00-\x1f\x7f]", text)
    if bad:
        raise ConfError(f"{text!r} has a control character in it")
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


@dataclass
class Conf:
    """app and the paths are as python_pass and nginx take them."""

    app: str
    interface: str | None
    listen: list[str]
    workers: int
    module: Path | None
    mime_types: Path | None
    python_path: list[str]
    venv: str | None
    environ: list[str] = field(default_factory=list)
    static: list[tuple[str, str]] = field(default_factory=list)
    watch: bool = False
    told: str | None = None  # see _loader/watched.py

    def text(self) -> str:
        return CONF.format(
            load=self._load(),
            user=_user(),
            workers=self.workers,
            drain="1s" if self.watch else "10s",
            env=self._env(),
            http=textwrap.indent("\n".join(self._http()), " " * 4),
            server=textwrap.indent("\n".join(self._server()), " " * 8),
        )

    def _load(self) -> str:
        return f"load_module {quoted(self.module)};\n" if self.module else ""

    def _env(self) -> str:
        """The names alone: values stay in the environment."""
        lines = [""]
        for name in sorted(set(self.environ) - NOT_PASSED_ON):
            if VARIABLE.fullmatch(name):
                if len(f"{lines[-1]} env {name};") > 79:
                    lines.append("")
                lines[-1] = f"{lines[-1]} env {name};".lstrip()
        return "\n".join(lines)

    def _http(self) -> list[str]:
        lines = []
        if self.mime_types:
            lines.append(f"include {quoted(self.mime_types)};")
        lines += [LOG_FORMAT, "access_log /dev/stdout serve;"]
        lines.append("client_max_body_size 0;")
        lines += [f"{name}_temp_path {name};" for name in TEMP]
        if any("$" in directory for _, directory in self.static):
            lines.append('geo $dollar { default "$"; }')
        paths = " ".join(map(quoted, self.python_path))
        lines.append(f"python_path {paths};")
        # what the application prints is the terminal's
        lines.append("python_env RESTY_FFI_STREAMS plain;")
        if self.venv:
            lines.append(f"python_venv {quoted(self.venv)};")
        if self.watch:
            lines.append("python_show_errors on;")
            # it would take what is edited twice in a second for the same
            lines.append("python_env PYTHONDONTWRITEBYTECODE 1;")
        if self.told:
            lines.append(f"python_env RESTY_FFI_WATCH {quoted(self.told)};")
        return lines

    def _server(self) -> list[str]:
        lines = [f"listen {address};" for address in self.listen]
        # as applications are used to it: /fetch/https://example.com
        lines.append("merge_slashes off;")
        app = quoted(self.app)
        if self.interface:
            app += f" {self.interface}"
        lines.append(f"location / {{ python_pass {app}; }}")
        for uri, directory in self.static:
            place = quoted(directory).replace("$", "${dollar}")
            lines.append(f"location {quoted(uri)} {{ alias {place}; }}")
        return lines


def _user() -> str:
    """That of this process, whom nginx's workers would not be else."""
    if os.geteuid():
        return ""
    user = pwd.getpwuid(0).pw_name
    return f"user {user} {grp.getgrgid(os.getegid()).gr_name};\n"
