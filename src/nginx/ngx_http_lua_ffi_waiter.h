#ifndef _NGX_HTTP_LUA_FFI_WAITER_H_INCLUDED_
#define _NGX_HTTP_LUA_FFI_WAITER_H_INCLUDED_

/*
 * Who waits for a task: a semaphore, and the request it belongs to.
 *
 * A coroutine can vanish without anybody telling us (the semaphore owns its
 * cleanup slot).  So a waiter whose coroutine was resumed but did not take
 * its answer, and one whose request has ended, are swept after the posted
 * events of that turn.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_lua_ffi_event.h"
#include "ngx_http_lua_ffi_host.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_lua_ffi_done_t     done;       /* first: bridge_task_t.data */
    ngx_queue_t                 queue;      /* of the request, or swept */
    ngx_http_lua_sema_t        *sem;
    bridge_task_t              *task;
    size_t                      max;        /* bytes of its answer */
    unsigned                    answered:1;
    unsigned                    taking:1;
    unsigned                    ended:1;    /* by the shutdown timeout */
} ngx_http_lua_ffi_waiter_t;


/* A waiter with an empty semaphore; NULL where memory ran out. */
ngx_http_lua_ffi_waiter_t *ngx_http_lua_ffi_get_waiter(void);

/* Gives back one that is in no queue and that no task points to. */
void ngx_http_lua_ffi_free_waiter(ngx_http_lua_ffi_waiter_t *w);

/*
 * The waiters of a request and its subrequests, to insert into: when the
 * request ends, they are swept.  NULL where memory ran out.
 */
ngx_queue_t *ngx_http_lua_ffi_request_waiters(ngx_http_request_t *r);

/*
 * Sweeps w, which is in no queue, behind the semaphores posted so far,
 * unless it is taken out of its queue and given back before.
 */
void ngx_http_lua_ffi_sweep_later(ngx_http_lua_ffi_waiter_t *w);

/*
 * Worker that quits: after ms milliseconds resumes who waits still, and lets
 * nobody wait any more.
 */
void ngx_http_lua_ffi_end_waits_after(ngx_msec_t ms);

/* Whether that time has passed. */
ngx_uint_t ngx_http_lua_ffi_waits_ended(void);

/*
 * In exit_process: nobody is resumed any more.  Abandons all answers, those
 * that come later included, and gives back all semaphores, which the lua
 * module insists on.
 */
void ngx_http_lua_ffi_waiters_done(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_LUA_FFI_WAITER_H_INCLUDED_ */
