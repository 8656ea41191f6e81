/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_API_H_INCLUDED_
#define _NGX_FFI_LUA_API_H_INCLUDED_

/* What Lua sees: preloaded packages, and the C functions behind them. */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/*
 * In preconfiguration: every Lua VM gets ngx.load_ffi, and the packages
 * "resty.ffi" and "resty_ffi", whatever its lua_package_path is.
 */
ngx_int_t ngx_ffi_lua_preload(ngx_conf_t *cf);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_API_H_INCLUDED_ */
