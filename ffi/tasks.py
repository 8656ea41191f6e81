"""The tasks of a queue, through the C interface (include/resty_ffi.h)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cffi import FFI

ffi: Any = FFI()
ffi.cdef("""
void *malloc(size_t size);
void *ngx_http_lua_ffi_task_poll(void *tq);
char *ngx_http_lua_ffi_get_req(void *tsk, int *len);
void ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp, int rsp_len);
""")
C: Any = ffi.dlopen(None)


class Task:
    """One call of Lua's; it waits until respond() is called, once."""

    __slots__ = ("_handle",)

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def request(self) -> bytes | None:
        """None where Lua gave nil."""
        length = ffi.new("int *")
        req = C.ngx_http_lua_ffi_get_req(self._handle, length)
        return bytes(ffi.buffer(req, length[0])) if req else None

    def respond(self, status: int, body: bytes | None = None) -> None:
        """From any thread.  If it raises, the task is still to be answered."""
        rsp = ffi.NULL
        if body is not None:
            # A length of 0 means a C string: an empty body is one NUL.
            raw = body or b"\0"
            rsp = ffi.cast("char *", C.malloc(len(raw)))
            if not rsp:
                raise MemoryError
            ffi.memmove(rsp, raw, len(raw))
        length = len(body or b"")
        C.ngx_http_lua_ffi_respond(self._handle, status, rsp, length)


def poll(queue: int) -> Iterator[Task]:
    """Blocks for each task; ends when the runtime is unloaded."""
    handle = ffi.cast("void *", queue)
    while task := C.ngx_http_lua_ffi_task_poll(handle):
        yield Task(task)


def string(address: int) -> bytes | None:
    """The C string at an address, such as init's cfg; None for 0."""
    if not address:
        return None
    return bytes(ffi.string(ffi.cast("char *", address)))
