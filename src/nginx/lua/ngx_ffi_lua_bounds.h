/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_BOUNDS_H_INCLUDED_
#define _NGX_FFI_LUA_BOUNDS_H_INCLUDED_

/*
 * How long a pipe waits, and for what.  While something is there that the
 * client does not take, only send_timeout counts, and the deadline for all:
 * the runtime may not be able to send.  Else the time between parts counts.
 * The timer is set once and sets itself again, not at each part.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_http_ffi_outlet.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_outlet_t  *outlet;
    ngx_event_t             timer;         /* the user's, who asks passed */
    ngx_msec_t              read_timeout;  /* between parts; 0: none */
    ngx_msec_t              deadline;      /* for all; 0: none */
    ngx_msec_t              limit;         /* for what it waits for */
    ngx_uint_t              waits_for;
    off_t                   progress;
    unsigned                arrived:1;     /* a part, since set; the user's */
} ngx_ffi_lua_bounds_t;


/* After something was sent, or could not be. */
void ngx_ffi_lua_bounds_set(ngx_ffi_lua_bounds_t *b);

/*
 * NULL where no bound has passed; else which one, static text.  A client's
 * also ends the connection.
 */
const char *ngx_ffi_lua_bounds_passed(ngx_ffi_lua_bounds_t *b);

void ngx_ffi_lua_bounds_clear(ngx_ffi_lua_bounds_t *b);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_BOUNDS_H_INCLUDED_ */
