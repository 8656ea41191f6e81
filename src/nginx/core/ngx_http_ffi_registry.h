#ifndef _NGX_HTTP_FFI_REGISTRY_H_INCLUDED_
#define _NGX_HTTP_FFI_REGISTRY_H_INCLUDED_

/*
 * The worker's runtimes as Lua knows them: by library and cfg, and by an id,
 * behind which a fresh runtime may take the place of the one that serves.
 *
 * They are the process's and not a Lua VM's: with lua_code_cache off there
 * is a VM for each request.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"

#pragma GCC visibility push(hidden)


struct ngx_http_ffi_entry_s {
    uint64_t                 id;
    ngx_http_ffi_runtime_t  *runtime;  /* NULL: the entry is free */
    ngx_http_ffi_runtime_t  *next;     /* starts, to replace it */
};


/*
 * The runtime of these arguments: the one that is there, or a new one, READY
 * or STARTING.  NULL with the reason in err (*errlen bytes of room; becomes
 * its length).  load's strings are copied.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_load(
    ngx_http_ffi_load_t  *load, u_char *err, size_t *errlen);

/*
 * A fresh runtime with the arguments of the one that serves under an id:
 * STARTING, or READY and in its place.  Where one starts already, that one.
 * NULL with the reason, likewise; the old one serves on.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_reload(uint64_t id, u_char *err,
    size_t *errlen);

/* A runtime's id in Lua, exact in a double; and what serves under an id. */
uint64_t ngx_http_ffi_id(ngx_http_ffi_runtime_t *rt);
ngx_http_ffi_runtime_t *ngx_http_ffi_serving(uint64_t id);

/*
 * No more calls under this id; what waits is answered, then the pollers see
 * NULL.  A fresh runtime that starts to take its place is given up.
 */
void ngx_http_ffi_unload(uint64_t id);

/* For _runtime.c: rt, which is new, is of this entry; rt takes calls now. */
void ngx_http_ffi_attach(ngx_http_ffi_entry_t *entry,
    ngx_http_ffi_runtime_t *rt);
void ngx_http_ffi_ready(ngx_http_ffi_runtime_t *rt);

/* For _runtime.c: rt takes no calls any more. */
void ngx_http_ffi_detach(ngx_http_ffi_runtime_t *rt);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_REGISTRY_H_INCLUDED_ */
