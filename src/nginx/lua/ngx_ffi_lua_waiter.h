/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_WAITER_H_INCLUDED_
#define _NGX_FFI_LUA_WAITER_H_INCLUDED_

/*
 * Who waits for a task: a semaphore, and the request it belongs to.
 *
 * Parts of an answer are copied here and given back as they come, so that the
 * runtime goes on.
 *
 * A coroutine can vanish without anybody telling us (the semaphore owns its
 * cleanup slot).  So a waiter whose coroutine was resumed but did not take
 * its answer, and one whose request has ended, are swept after the posted
 * events of that turn.
 *
 * A coroutine can also be resumed by something else than its semaphore: by a
 * light thread that it once waited for beside another one.  It still stands
 * in the semaphore's queue then, and must yield again.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_event.h"
#include "ngx_ffi_lua_host.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_caller_t  caller;    /* first: bridge_task_t.data */
    ngx_queue_t            queue;     /* of the request, or swept */
    ngx_http_lua_sema_t   *sem;
    ngx_http_request_t    *request;
    bridge_task_t         *task;
    size_t                 max;       /* bytes of its answer */
    u_char                *parts;     /* that have come; malloc'ed */
    size_t                 nparts;    /* their bytes */
    size_t                 room;
    size_t                 large;     /* bytes, which were too many */
    unsigned               posted:1;  /* to the semaphore */
    unsigned               answered:1;
    unsigned               taking:1;
    const char            *ended;     /* before its time: why */
    const char            *failed;    /* for its parts: why */
} ngx_ffi_lua_waiter_t;


/* A waiter with an empty semaphore; NULL where memory ran out. */
ngx_ffi_lua_waiter_t *ngx_ffi_lua_get_waiter(void);

/*
 * Gives back one that is in no queue, that no task points to and through
 * which no coroutine waits.
 */
void ngx_ffi_lua_free_waiter(ngx_ffi_lua_waiter_t *w);

/*
 * Adds bytes of the answer to what w has; NGX_ERROR where that is more than
 * it may be, or memory ran out: w->failed says which.
 */
ngx_int_t ngx_ffi_lua_gather(ngx_ffi_lua_waiter_t *w, const char *bytes,
    size_t len);

/*
 * Whether the coroutine of w, which runs, still stands in its semaphore's
 * queue, and would be resumed by it wherever it goes.
 */
ngx_uint_t ngx_ffi_lua_waits(ngx_ffi_lua_waiter_t *w);

/*
 * The waiters of a request and its subrequests, to insert into: when the
 * request ends, they are swept.  NULL where memory ran out.
 */
ngx_queue_t *ngx_ffi_lua_request_waiters(ngx_http_request_t *r);

/*
 * Worker that quits: after ms milliseconds resumes who waits still, and lets
 * nobody wait any more.
 */
void ngx_ffi_lua_end_waits_after(ngx_msec_t ms);

/* The same for who has neither a deadline nor a client, as in a timer. */
void ngx_ffi_lua_abort_waits_after(ngx_msec_t ms);

/* Whether nobody may wait any more as r would, ms milliseconds (0: for ever) */
ngx_uint_t ngx_ffi_lua_waits_ended(ngx_http_request_t *r, ngx_msec_t ms);

/*
 * In exit_process: nobody is resumed any more.  Cancels all answers, those
 * that come later included, and gives back all semaphores, which the lua
 * module insists on.
 */
void ngx_ffi_lua_waiters_exit(void);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_WAITER_H_INCLUDED_ */
