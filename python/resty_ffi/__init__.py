# SPDX-License-Identifier: BSD-2-Clause
"""Python in nginx workers, called from Lua.

    from resty_ffi import serve

    @serve
    def upper(request: bytes) -> bytes:
        return request.upper()

and in Lua

    local app = ngx.load_ffi("ffi_python3", "app,upper")
    local ok, res = app:upper("hello")

Importable anywhere; only inside nginx does anybody call what is served.
`resty_ffi.testing` drives handlers without nginx.
"""

import os

from ._body import AsyncBodyReader, BodyReader
from ._call import Call, current
from ._error import Error
from ._options import serve
from ._unload import on_unload

__all__ = [
    "AsyncBodyReader",
    "BodyReader",
    "Call",
    "Error",
    "__version__",
    "current",
    "on_unload",
    "serve",
]

with open(os.path.join(os.path.dirname(__file__), "VERSION")) as _file:
    __version__ = _file.read().strip()
