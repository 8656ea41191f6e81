/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_CONF_H_INCLUDED_
#define _NGX_FFI_LUA_CONF_H_INCLUDED_

/*
 * What nginx.conf says to calls and loads of Lua code.
 *
 * Everything in this folder runs on the worker's main thread.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_msec_t  timeout;       /* 0: none; or unset */
    ngx_msec_t  load_timeout;  /* 0: none */
    size_t      stream_buffer; /* high mark of streams; bytes */
} ngx_ffi_lua_loc_conf_t;

#pragma GCC visibility pop


extern ngx_module_t  ngx_http_lua_ffi_module;

/* a request's context is its pipe */
extern ngx_module_t  ngx_http_lua_ffi_filter_module;


#endif /* _NGX_FFI_LUA_CONF_H_INCLUDED_ */
