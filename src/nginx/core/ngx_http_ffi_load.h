/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_LOAD_H_INCLUDED_
#define _NGX_HTTP_FFI_LOAD_H_INCLUDED_

/* What callers do with runtimes: load, find, reload and unload them. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"

#pragma GCC visibility push(hidden)


/*
 * The runtime of these arguments: the one that is there, or a new one, READY
 * or STARTING.  NULL with the reason in err (*errlen bytes of room; becomes
 * its length).  load's strings are copied.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_load(ngx_http_ffi_load_t *load,
    u_char *err, size_t *errlen);

/*
 * A fresh runtime with the arguments of the one that serves under an id:
 * STARTING, or READY and in its place.  Where one starts already, that one.
 * NULL with the reason, likewise; the old one serves on.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_reload(uint64_t id, u_char *err,
    size_t *errlen);

/*
 * Holds up the worker until rt has started or failed, at most ms
 * milliseconds (0: no bound).  rt stays valid until the next load.
 */
void ngx_http_ffi_wait_started(ngx_http_ffi_runtime_t *rt, ngx_msec_t ms);

/* A runtime's id in Lua, exact in a double; and what serves under an id. */
uint64_t ngx_http_ffi_id(ngx_http_ffi_runtime_t *rt);
ngx_http_ffi_runtime_t *ngx_http_ffi_serving(uint64_t id);

/*
 * No more calls under this id; what waits is answered, then the pollers see
 * NULL.  A fresh runtime that starts to take its place is unloaded, too.
 */
void ngx_http_ffi_unload(uint64_t id);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_LOAD_H_INCLUDED_ */
