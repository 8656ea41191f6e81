/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_STREAM_API_H_INCLUDED_
#define _NGX_FFI_LUA_STREAM_API_H_INCLUDED_

/*
 * The functions that lua/resty/ffi.lua makes streams of, but for the one that
 * opens them.  Those that may wait yield, and are to be called again with
 * resumed true whenever the coroutine is resumed; or they return mark, and what
 * the method returns.
 */

#include <lua.h>

#pragma GCC visibility push(hidden)


/*
 * stream_read(stream, resumed, peek, mark)
 * peek: instead of a part, or the end with status 0, true, which leaves it.
 */
int ngx_ffi_lua_core_stream_read(lua_State *L);

/* stream_write(stream, resumed, chunk, mark) */
int ngx_ffi_lua_core_stream_write(lua_State *L);

/* stream_finish(stream): returns true, or nil and why not */
int ngx_ffi_lua_core_stream_finish(lua_State *L);

/* stream_close(stream) */
int ngx_ffi_lua_core_stream_close(lua_State *L);

/* body_arrives(): whether the client's body is on its way to a stream */
int ngx_ffi_lua_core_body_arrives(lua_State *L);

/*
 * stream_methods(): the table of the methods of all streams, which Lua fills.
 */
int ngx_ffi_lua_core_stream_methods(lua_State *L);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_STREAM_API_H_INCLUDED_ */
