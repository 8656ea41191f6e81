/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_LOG_H_INCLUDED_
#define _NGX_FFI_LUA_LOG_H_INCLUDED_

/* What error.log says of calls that fail: a line a second for each runtime. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_runtime.h"
#include "task.h"

#pragma GCC visibility push(hidden)


void ngx_ffi_lua_log_full(ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt);

/* t has no answer */
void ngx_ffi_lua_log_timeout(bridge_task_t *t);

/* the answer of t, or one part of it, has len bytes, or more */
void ngx_ffi_lua_log_large(bridge_task_t *t, size_t len);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_LOG_H_INCLUDED_ */
