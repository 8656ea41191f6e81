# SPDX-License-Identifier: BSD-2-Clause
"""For uWSGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .payload import BY_PATH


def app(
    environ: dict[str, Any],
    start_response: Callable[[str, list[tuple[str, str]]], object],
) -> list[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    else:
        body = BY_PATH[environ["PATH_INFO"]]
    start_response(
        "200 OK",
        [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))],
    )
    return [body]
