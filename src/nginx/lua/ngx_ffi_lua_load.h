/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_LOAD_H_INCLUDED_
#define _NGX_FFI_LUA_LOAD_H_INCLUDED_

/* Loads and reloads, as Lua calls them. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#pragma GCC visibility push(hidden)


/*
 * load(lib, cfg, opts): opts is a plain table of what has been checked.
 * Returns an id; or nil and a reason; or nil, nil and a task to wait for,
 * after which load is to be called again.
 */
int ngx_ffi_lua_core_load(lua_State *L);

/*
 * reload(id)
 * Returns the same; but the task's answer tells how it has gone.
 */
int ngx_ffi_lua_core_reload(lua_State *L);

/*
 * The milliseconds at an index of the stack, 0 for no bound; where there is
 * no number, NGX_CONF_UNSET_MSEC.
 */
ngx_msec_t ngx_ffi_lua_msec(lua_State *L, int index);

/* Pushes nil and a reason; returns their number. */
int ngx_ffi_lua_fail(lua_State *L, const u_char *err, size_t len);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_LOAD_H_INCLUDED_ */
