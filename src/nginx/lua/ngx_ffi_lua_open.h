/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_OPEN_H_INCLUDED_
#define _NGX_FFI_LUA_OPEN_H_INCLUDED_

/* The function that lua/resty/ffi.lua opens streams by. */

#include <lua.h>

#pragma GCC visibility push(hidden)


/*
 * stream_open(id, req, method, first_timeout, read_timeout, timeout, input,
 *             written, traceparent)
 * Returns a stream, or nil and why not.  input: the request goes on in parts;
 * written: those of write, else of the client's body.
 */
int ngx_ffi_lua_core_stream_open(lua_State *L);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_OPEN_H_INCLUDED_ */
