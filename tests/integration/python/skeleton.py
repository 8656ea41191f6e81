# SPDX-License-Identifier: BSD-2-Clause

from cffi import FFI
import threading

ffi = FFI()
ffi.cdef("""
char *strdup(const char *s);
void* ngx_http_lua_ffi_task_poll(void *p);
char* ngx_http_lua_ffi_get_req(void *tsk, int *len);
void ngx_http_lua_ffi_respond(void *tsk, int rc, char* rsp, int rsp_len);
""")
C = ffi.dlopen(None)

class State:
    def poll(self, tq):
        while True:
            task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void*", tq))
            if task == ffi.NULL:
                break
            req = C.ngx_http_lua_ffi_get_req(task, ffi.NULL)
            C.ngx_http_lua_ffi_respond(task, 0, C.strdup(req), 0)

def init(cfg, tq):
    st = State()
    t = threading.Thread(target=st.poll, args=(tq,), daemon=True)
    t.start()
    return 0
