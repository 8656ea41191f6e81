/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_PIPE_WAIT_H_INCLUDED_
#define _NGX_FFI_LUA_PIPE_WAIT_H_INCLUDED_

/*
 * What a pipe waits for, and how long.  While something is there that the
 * client does not take, only send_timeout counts, and the deadline for all:
 * the runtime may not be able to send.  Else the time between parts counts.
 * The timer is set once and sets itself again, not at each part.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_ffi_lua_pipe.h"

#pragma GCC visibility push(hidden)


/* After a run has sent what it has.  NGX_ERROR where it cannot go on. */
ngx_int_t ngx_ffi_lua_pipe_wait(ngx_ffi_lua_pipe_t *p);

/* At the end of a run. */
void ngx_ffi_lua_pipe_wait_no_more(ngx_ffi_lua_pipe_t *p);

/* The handler of p->timer. */
void ngx_ffi_lua_pipe_timer(ngx_event_t *ev);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_PIPE_WAIT_H_INCLUDED_ */
