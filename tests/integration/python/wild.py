# SPDX-License-Identifier: BSD-2-Clause

import asyncio
import json
import threading
import traceback

from cffi import FFI

ffi = FFI()
ffi.cdef("""
void *malloc(size_t size);
void *memcpy(void *dest, const void *src, size_t n);
void* ngx_http_lua_ffi_task_poll(void *p);
char* ngx_http_lua_ffi_get_req(void *tsk, int *len);
void ngx_http_lua_ffi_respond(void *tsk, int rc, char* rsp, int rsp_len);
""")
C = ffi.dlopen(None)

def respond(task, rc, text):
    data = text.encode()
    res = C.malloc(len(data))
    C.memcpy(res, data, len(data))
    C.ngx_http_lua_ffi_respond(task, rc, ffi.cast("char*", res), 0 if rc else len(data))

class Server:
    def __init__(self, cfg, tq):
        self.tq = tq
        self.cfg = json.loads(ffi.string(ffi.cast("char*", cfg)))
        self.loop = asyncio.new_event_loop()
        self.seen = 0

    async def handle(self, req):
        if "fail" in req:
            raise ValueError(req["fail"])
        await asyncio.sleep(req.get("sleep", 0))
        self.seen += 1
        return {"hello": self.cfg["name"], "you": req["you"]}

    async def dispatch(self, task, req):
        try:
            rsp = await self.handle(json.loads(req))
            respond(task, 0, json.dumps(rsp))
        except Exception as exc:
            traceback.print_exc()
            respond(task, 1, str(exc))

    def poll(self):
        while True:
            task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void*", self.tq))
            if task == ffi.NULL:
                break
            req = ffi.string(C.ngx_http_lua_ffi_get_req(task, ffi.NULL))
            asyncio.run_coroutine_threadsafe(self.dispatch(task, req), self.loop)
        self.loop.call_soon_threadsafe(self.loop.stop)
        print("exit wild runtime")

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

def init(cfg, tq):
    srv = Server(cfg, tq)
    threading.Thread(target=srv.run, daemon=True).start()
    threading.Thread(target=srv.poll, daemon=True).start()
    return 0
