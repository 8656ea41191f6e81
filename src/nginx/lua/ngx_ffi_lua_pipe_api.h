/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_PIPE_API_H_INCLUDED_
#define _NGX_FFI_LUA_PIPE_API_H_INCLUDED_

/* The function that lua/resty/ffi.lua makes s:pipe() of. */

#include <lua.h>

#pragma GCC visibility push(hidden)


/*
 * stream_pipe(stream, resumed, prepare)
 * With prepare, before the header is sent: takes what it needs, and returns
 * true, and true, or nil and err.  Once it has been sent: returns false where
 * the coroutine must yield, before anything else happens, and call again with
 * resumed true; else true, and what pipe returns.
 */
int ngx_ffi_lua_core_stream_pipe(lua_State *L);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_PIPE_API_H_INCLUDED_ */
