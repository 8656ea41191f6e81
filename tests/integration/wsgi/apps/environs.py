# SPDX-License-Identifier: BSD-2-Clause
"""Answers with its environ."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.validate import validator


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    for key, value in environ.items():
        assert type(key) is str, key
        if not key.startswith("wsgi."):
            assert type(value) is str, (key, value)
            value.encode("latin-1")
            assert value.isascii() == all(ord(c) < 128 for c in value)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(environ, default=repr).encode()]


valid = validator(application)
