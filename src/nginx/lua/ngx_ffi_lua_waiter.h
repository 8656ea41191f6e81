/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_WAITER_H_INCLUDED_
#define _NGX_FFI_LUA_WAITER_H_INCLUDED_

/*
 * Who waits for the whole answer of a task, and the request it belongs to.
 *
 * Parts of an answer are copied here and given back as they come, so that the
 * runtime goes on.
 *
 * A waiter whose coroutine was resumed but did not take its answer is swept
 * after the posted events of that turn.
 *
 * Between waiter_new and the wait Lua code runs, which may raise.  Nothing else
 * happens in between, so whoever has not begun to wait when the next one is
 * made never will, and is swept, too.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_event.h"
#include "ngx_ffi_lua_request.h"
#include "ngx_ffi_lua_sema.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_caller_t  caller;    /* first: bridge_task_t.data */
    ngx_ffi_lua_owned_t    owned;     /* by the request; or swept */
    ngx_ffi_lua_sema_t    *sema;
    ngx_http_request_t    *request;
    bridge_task_t         *task;
    uint64_t               runtime;   /* to be put to; its id */
    ngx_msec_t             ms;        /* to wait; 0: no bound */
    size_t                 max;       /* bytes of its answer */
    u_char                *parts;     /* that have come; malloc'ed */
    size_t                 nparts;    /* their bytes */
    size_t                 room;
    size_t                 large;     /* bytes, which were too many */
    const char            *failed;    /* for its parts: why */
    unsigned               kept:1;    /* the task, which is put to the runtime
                                         when the coroutine waits */
    unsigned               answered:1;
    unsigned               taking:1;
} ngx_ffi_lua_waiter_t;


/*
 * A waiter of r for t, which it owns; the caller sets ms and max, and where
 * the task is still to be put, runtime and kept.  NULL where memory ran out.
 */
ngx_ffi_lua_waiter_t *ngx_ffi_lua_waiter_new(ngx_http_request_t *r,
    bridge_task_t *t);

/* Ends w and its task, whose answer nobody wants. */
void ngx_ffi_lua_waiter_drop(ngx_ffi_lua_waiter_t *w);

/* Ends w, which lets go of its task; gives back its semaphore, if any. */
void ngx_ffi_lua_waiter_free(ngx_ffi_lua_waiter_t *w);

/*
 * Adds bytes of the answer to what w has; NGX_ERROR where that is more than
 * it may be, or memory ran out: w->failed says which.
 */
ngx_int_t ngx_ffi_lua_gather(ngx_ffi_lua_waiter_t *w, const char *bytes,
    size_t len);

/*
 * In exit_process: cancels all answers, those that come later included.
 * Before ngx_ffi_lua_semas_exit.
 */
void ngx_ffi_lua_waiters_exit(void);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_WAITER_H_INCLUDED_ */
