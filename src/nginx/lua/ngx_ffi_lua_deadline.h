/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_DEADLINE_H_INCLUDED_
#define _NGX_FFI_LUA_DEADLINE_H_INCLUDED_

/* When a task is late: ms of CLOCK_MONOTONIC, as runtimes see them. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "clock.h"
#include "task.h"


static inline int64_t
ngx_ffi_lua_now(void)
{
    return bridge_now_us() / 1000;
}


static inline ngx_uint_t
ngx_ffi_lua_is_late(bridge_task_t *t)
{
    return t->deadline && ngx_ffi_lua_now() >= t->deadline;
}


#endif /* _NGX_FFI_LUA_DEADLINE_H_INCLUDED_ */
