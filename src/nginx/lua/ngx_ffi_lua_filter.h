/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_FILTER_H_INCLUDED_
#define _NGX_FFI_LUA_FILTER_H_INCLUDED_

/*
 * A body filter before all others, a module of its own: what is not the
 * pipe's cannot be sent while a pipe runs, and what a pipe has broken does
 * not end cleanly.  A request's context is its pipe.
 */

#include <ngx_config.h>
#include <ngx_core.h>


extern ngx_module_t  ngx_http_lua_ffi_filter_module;


#endif /* _NGX_FFI_LUA_FILTER_H_INCLUDED_ */
