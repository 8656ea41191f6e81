/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_STATS_H_INCLUDED_
#define _NGX_FFI_LUA_STATS_H_INCLUDED_

/* ffi.stats(): what all workers have counted, as a Lua table. */

#include <lua.h>

#pragma GCC visibility push(hidden)


/* stats(): a table, named as in the JSON of ffi_status; or nil and why not. */
int ngx_ffi_lua_stats(lua_State *L);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_STATS_H_INCLUDED_ */
