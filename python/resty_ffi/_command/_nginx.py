# SPDX-License-Identifier: BSD-2-Clause
"""An nginx, and the module in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .._paths import FOLDER

FILE = "ngx_http_ffi_module.so"
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/openresty/nginx/sbin")
DEBIAN_MODULES = "/usr/lib/nginx/modules"
HERE = Path(__file__).resolve()


class NginxError(Exception):
    """What there is not, or what nginx refuses."""


class Nginx:
    """binary: a name or a path; NginxError where there is none."""

    def __init__(self, binary: str | None = None) -> None:
        wanted = binary or os.environ.get("NGINX_BIN") or "nginx"
        path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
        found = shutil.which(wanted, path=path)
        if found is None:
            raise NginxError(
                f"there is no {wanted}: install nginx (apt install nginx), or"
                " say --nginx=/path/to/nginx"
            )
        self.binary = os.path.abspath(found)
        self._built = self._run("-V").stderr

    def module(self, file: str | None = None) -> Path | None:
        """Of this file's tree or wheel, or of nginx; None: it is built in.

        NginxError where there is none.
        """
        if file is not None:
            places = [Path(file).absolute()]
        else:
            tree = HERE.parents[3] / "build" / "modules" / FILE
            wheel = FOLDER / "modules" / FILE
            folders = self._modules()
            places = [tree, wheel, *(folder / FILE for folder in folders)]
        for place in places:
            if place.is_file():
                return place
        if file is None and re.search(
            r"--add-module=\S*resty-python", self._built
        ):
            return None
        raise NginxError(
            f"{self.binary} has no {FILE}: there is none at "
            + " or ".join(map(str, places))
            + "; make && sudo make install puts it there"
        )

    def _modules(self) -> list[Path]:
        prefix = self._configured("prefix") or "/usr/local/nginx"
        modules = self._configured("modules-path") or f"{prefix}/modules"
        return [
            Path(name) for name in dict.fromkeys([modules, DEBIAN_MODULES])
        ]

    def mime_types(self) -> Path | None:
        conf = self._configured("conf-path")
        prefix = self._configured("prefix") or "/usr/local/nginx"
        path = Path(prefix, conf or "conf/nginx.conf").parent / "mime.types"
        return path if path.is_file() else None

    def _configured(self, name: str) -> str | None:
        found = re.search(rf"--{name}=(\S+)", self._built)
        return found[1] if found else None

    def check(self, arguments: list[str], conf: Path) -> None:
        """NginxError, with nginx's own words, where it refuses conf."""
        done = self._run(*arguments, "-t")
        if done.returncode:
            said = re.findall(r"\[emerg\] (?:\d+#\d+: )?(.*)", done.stderr)
            text = said[0] if said else done.stderr.strip()
            raise NginxError(
                re.sub(rf" in {re.escape(str(conf))}:\d+$", "", text)
            )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.binary, *arguments],
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
