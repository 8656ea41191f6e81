# SPDX-License-Identifier: BSD-2-Clause
"""The nginx that the fuzzers of heads ask."""

from __future__ import annotations

import contextlib
import re
import socket

from tests.integration.client import until_end
from tests.integration.nginx import ROOT
from tests.integration.python_pass.site import Site

APPS = "tests.fuzz.app.fuzzed"

# what nginx says of a request; the applications are told, too
VARIABLES = {
    "F_ID": "request_id",
    "F_METHOD": "request_method",
    "F_URI": "uri",
    "F_ARGS": "args",
    "F_TARGET": "request_uri",
    "F_PROTOCOL": "server_protocol",
    "F_SCHEME": "scheme",
    "F_HOST": "http_host",
    "F_TYPE": "content_type",
    "F_LENGTH": "content_length",
    "F_COOKIE": "http_cookie",
    "F_AGENT": "http_user_agent",
    "F_STATUS": "status",
}
FORMAT = ",".join(f'"{name}":"${it}"' for name, it in VARIABLES.items())
PARAMS = "".join(
    f"python_param {name} ${it};"
    for name, it in VARIABLES.items()
    if it != "status"
)
HTTP = f"""
    log_format heads escape=json '{{{FORMAT}}}';
    python_path {ROOT};
    python_env FUZZ_REPORTS {{prefix}}/reports;
    client_header_timeout 200ms;
    client_body_timeout 200ms;
    client_max_body_size 0;
    server {{
        listen unix:{{prefix}}/asgi.sock;
        access_log {{prefix}}/heads.log heads;
        {PARAMS}
        location / {{ python_pass {APPS}:asgi asgi; }}
    }}
    server {{
        listen unix:{{prefix}}/wsgi.sock;
        access_log {{prefix}}/heads.log heads;
        {PARAMS}
        location / {{ python_pass {APPS}:wsgi wsgi; }}
    }}
    server {{
        listen unix:{{prefix}}/answers.sock;
        location /asgi {{ python_pass {APPS}:asgi_answer asgi; }}
        location /wsgi {{ python_pass {APPS}:wsgi_answer wsgi; }}
    }}
"""
ERROR = re.compile(r"\[(?:error|crit|alert|emerg)\] .*")


class Heads(Site):
    def __init__(self, seed: int) -> None:
        super().__init__(
            http=HTTP + f"python_env FUZZ_SEED_OF_HEADS {seed};", path=""
        )
        self.reports = self.prefix / "reports"
        self.heads_log = self.prefix / "heads.log"
        self._read = 0

    def exchange(self, name: str, data: bytes, patience: float) -> bytes:
        """What comes back until the end; it walks away after a while."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patience)
            sock.connect(str(self.prefix / f"{name}.sock"))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            try:
                return until_end(sock)
            except TimeoutError:
                return b""

    def errors(self) -> list[str]:
        """Lines of error.log since the last call."""
        with self.error_log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        return ERROR.findall(data.decode("latin-1"))
