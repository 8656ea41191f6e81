/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_TASK_H_INCLUDED_
#define _NGX_FFI_LUA_TASK_H_INCLUDED_

/* What calls and streams have in common: a task for what Lua asks. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#include "ngx_http_ffi_runtime.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_runtime_t  *runtime;
    ngx_http_request_t      *request;
    ngx_msec_t               ms;        /* for the answer, or its first part;
                                           0: for ever */
    size_t                   high;      /* mark, of nginx.conf; 0: default */
} ngx_ffi_lua_asked_t;


/*
 * A task for the arguments of L: the id of a runtime, the request, the
 * method's name, and milliseconds or nil.  It is the caller's, and is to be
 * put or freed.  NULL: nil and why not have been pushed.
 */
bridge_task_t *ngx_ffi_lua_task_new(lua_State *L,
    ngx_ffi_lua_asked_t *asked);

/*
 * With the arguments of ngx_ffi_lua_task_new, where its task is not put to the
 * runtime: counts that.
 */
void ngx_ffi_lua_task_refused(lua_State *L, ngx_http_ffi_runtime_t *rt);

/* Puts t to its runtime, which is woken soon. */
void ngx_ffi_lua_task_put(ngx_ffi_lua_asked_t *asked, bridge_task_t *t);

/*
 * The milliseconds at an index of L; where there is none those that the load
 * says, the location, or the runtime.  0: for ever.
 */
ngx_msec_t ngx_ffi_lua_timeout(lua_State *L, int index,
    ngx_ffi_lua_asked_t *asked);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_TASK_H_INCLUDED_ */
