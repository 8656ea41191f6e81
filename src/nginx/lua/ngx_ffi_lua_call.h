/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_CALL_H_INCLUDED_
#define _NGX_FFI_LUA_CALL_H_INCLUDED_

/* A call: a coroutine waits for a task, and takes its answer. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#include "task.h"

#pragma GCC visibility push(hidden)


/*
 * Lets the running coroutine of r wait for t, at most ms milliseconds (0: no
 * bound), for an answer of at most max bytes.  Where this succeeds t must be
 * pushed, and the coroutine must yield before anything else happens and then
 * call take.  Else not NGX_OK, with the reason in err (*errlen bytes of room;
 * becomes its length), and t is still the caller's.
 */
ngx_int_t ngx_ffi_lua_wait(lua_State *L, ngx_http_request_t *r,
    bridge_task_t *t, ngx_msec_t ms, size_t max, u_char *err,
    size_t *errlen);

/*
 * After the coroutine was resumed: pushes what a call returns (one to three
 * values) and ends the task, or cancels it where no answer has come in time.
 * Returns the number of values; 0 where something else has resumed it: it
 * must yield again, before anything else happens, and call take again.
 */
int ngx_ffi_lua_take(lua_State *L, uint64_t id);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_CALL_H_INCLUDED_ */
