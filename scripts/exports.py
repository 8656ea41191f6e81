# SPDX-License-Identifier: BSD-2-Clause
"""What `nm -D` shows of our shared objects, and may: the C interface.

usage: exports.py HEADER FILE.so ...
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# what a runtime exports, in resty_ffi.h; nginx's module has the rest
RUNTIME = {
    "libffi_init",
    "resty_ffi_about",
    "resty_ffi_async",
    "resty_ffi_describe",
    "resty_ffi_exit",
    "resty_ffi_report",
}
# in the place of CPython's, see src/loader/pending.h
LOADER = {*RUNTIME, "Py_AddPendingCall"}
MODULES = {
    "ngx_http_ffi_module": {
        "ngx_http_ffi_module",
        "ngx_http_ffi_pass_module",
        "ngx_http_ffi_python_module",
        "ngx_http_ffi_status_module",
    },
    "ngx_http_lua_ffi_module": {
        "ngx_http_ffi_module",
        "ngx_http_ffi_pass_module",
        "ngx_http_ffi_python_module",
        "ngx_http_ffi_status_module",
        "ngx_http_lua_ffi_module",
        "ngx_http_lua_ffi_filter_module",
    },
}
MODULE = re.compile(r"ngx_modules|ngx_module_names|ngx_module_order")
DECLARED = re.compile(r"^RESTY_FFI_API[^;({]*?\b(\w+)(?:\(|;)", re.MULTILINE)


def exported(path: str) -> set[str]:
    said = subprocess.run(
        ["nm", "-D", "--defined-only", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {line.split()[-1] for line in said.splitlines()}


def main() -> None:
    declared = set(DECLARED.findall(Path(sys.argv[1]).read_text()))
    faults = [f"{name} is not declared" for name in RUNTIME - declared]
    for path in sys.argv[2:]:
        found = exported(path)
        of_nginx = {name for name in found if MODULE.fullmatch(name)}
        if of_nginx:
            wanted = of_nginx | (declared - RUNTIME)
            wanted |= MODULES[Path(path).stem]
        else:
            wanted = LOADER
        faults += [f"{path} must not export {n}" for n in found - wanted]
        faults += [f"{path} must export {n}" for n in wanted - found]
    sys.exit("\n".join(sorted(faults)) or None)


if __name__ == "__main__":
    main()
