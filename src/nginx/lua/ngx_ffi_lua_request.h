/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_REQUEST_H_INCLUDED_
#define _NGX_FFI_LUA_REQUEST_H_INCLUDED_

/* What ends with a request: one cleanup for each, not one a call. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


/* a part of what belongs to a request */
typedef struct ngx_ffi_lua_owned_s  ngx_ffi_lua_owned_t;

struct ngx_ffi_lua_owned_s {
    ngx_queue_t   queue;

    /*
     * The request ends, and o is in no queue any more.  The lua module's own
     * cleanup comes next: coroutines may stand in their semaphores' queues.
     */
    void        (*end)(ngx_ffi_lua_owned_t *o);
};


/*
 * Has o->end called when the main request of r ends, unless o->queue is
 * removed before.  NGX_ERROR where memory ran out.
 */
ngx_int_t ngx_ffi_lua_own(ngx_http_request_t *r, ngx_ffi_lua_owned_t *o);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_REQUEST_H_INCLUDED_ */
