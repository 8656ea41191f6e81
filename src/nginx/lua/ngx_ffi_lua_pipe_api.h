/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_PIPE_API_H_INCLUDED_
#define _NGX_FFI_LUA_PIPE_API_H_INCLUDED_

/* The function that lua/resty/ffi.lua makes s:pipe() of. */

#include <lua.h>

#pragma GCC visibility push(hidden)


/*
 * stream_pipe(stream, resumed, prepare, mark)
 * With prepare, before the header is sent: takes what it needs, and returns
 * mark, and true, or nil and err.  Once it has been sent: yields, and is to be
 * called again with resumed true; or returns mark, and what pipe returns.
 */
int ngx_ffi_lua_core_stream_pipe(lua_State *L);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_PIPE_API_H_INCLUDED_ */
