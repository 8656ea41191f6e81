/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_CALL_H_INCLUDED_
#define _NGX_FFI_LUA_CALL_H_INCLUDED_

/* A call: a coroutine waits for a task, and takes its answer. */

#include <lua.h>

#pragma GCC visibility push(hidden)


/*
 * start(task, mark): lets the running coroutine wait for a task that has a
 * waiter, and puts it to the runtime, if that was not done.
 * take(task, mark): after the coroutine was resumed, by its answer or
 * whatever else.
 *
 * Each yields, and take is to be called when it is resumed; or it returns mark
 * and what a call returns, one to three values.  No Lua code runs between the
 * wait and the yield.
 */
int ngx_ffi_lua_start(lua_State *L);
int ngx_ffi_lua_take(lua_State *L);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_CALL_H_INCLUDED_ */
