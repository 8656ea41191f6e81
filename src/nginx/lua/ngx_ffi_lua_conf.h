/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_CONF_H_INCLUDED_
#define _NGX_FFI_LUA_CONF_H_INCLUDED_

/*
 * The modules for Lua code.  What nginx.conf says to calls and loads is the
 * core's.
 *
 * Everything in this folder runs on the worker's main thread.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


extern ngx_module_t  ngx_http_lua_ffi_module;

/* a request's context is its pipe */
extern ngx_module_t  ngx_http_lua_ffi_filter_module;


#endif /* _NGX_FFI_LUA_CONF_H_INCLUDED_ */
