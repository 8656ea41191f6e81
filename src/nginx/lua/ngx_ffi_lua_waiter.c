/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_conf.h"
#include "ngx_ffi_lua_waiter.h"


#define NGX_FFI_LUA_MAX_FREE  4096


/* one cleanup a request, not one a call */
typedef struct {
    ngx_queue_t                 waiters;
} ngx_ffi_lua_ctx_t;


static void ngx_ffi_lua_answered(bridge_task_t *t);
static void ngx_ffi_lua_part(bridge_task_t *t, bridge_part_t *p);
static void ngx_ffi_lua_free_parts(ngx_ffi_lua_waiter_t *w);
static ngx_int_t ngx_ffi_lua_resume(ngx_ffi_lua_waiter_t *w);
static void ngx_ffi_lua_request_cleanup(void *data);
static void ngx_ffi_lua_sweep_later(ngx_ffi_lua_waiter_t *w);
static void ngx_ffi_lua_post_sweep(void);
static void ngx_ffi_lua_sweep(ngx_event_t *ev);
static void ngx_ffi_lua_destroy_waiters(ngx_queue_t *waiters);
static void ngx_ffi_lua_set_end(ngx_event_t *ev,
    ngx_event_handler_pt handler, ngx_msec_t ms);
static void ngx_ffi_lua_end_waits(ngx_event_t *ev);
static void ngx_ffi_lua_abort_waits(ngx_event_t *ev);
static void ngx_ffi_lua_end_wait(ngx_ffi_lua_waiter_t *w,
    const char *why);
static ngx_uint_t ngx_ffi_lua_has_no_client(ngx_http_request_t *r);
static ngx_ffi_lua_waiter_t *ngx_ffi_lua_waiter_at(uint32_t slot);


static ngx_queue_t   ngx_ffi_lua_free_waiters;
static ngx_uint_t    ngx_ffi_lua_nfree;
static ngx_queue_t   ngx_ffi_lua_swept;
static ngx_queue_t   ngx_ffi_lua_spent;
static ngx_event_t   ngx_ffi_lua_sweep_event;
static ngx_event_t   ngx_ffi_lua_end_event;
static ngx_event_t   ngx_ffi_lua_abort_event;
static ngx_uint_t    ngx_ffi_lua_ended;
static ngx_uint_t    ngx_ffi_lua_aborted;

static ngx_connection_t  ngx_ffi_lua_no_conn;


ngx_ffi_lua_waiter_t *
ngx_ffi_lua_get_waiter(void)
{
    char                  *errmsg;
    ngx_queue_t           *q;
    ngx_ffi_lua_waiter_t  *w;

    if (ngx_ffi_lua_free_waiters.next == NULL) {
        ngx_queue_init(&ngx_ffi_lua_free_waiters);
    }

    if (!ngx_queue_empty(&ngx_ffi_lua_free_waiters)) {
        q = ngx_queue_head(&ngx_ffi_lua_free_waiters);
        ngx_queue_remove(q);
        ngx_ffi_lua_nfree--;

        return ngx_queue_data(q, ngx_ffi_lua_waiter_t, queue);
    }

    w = ngx_calloc(sizeof(ngx_ffi_lua_waiter_t), ngx_cycle->log);
    if (w == NULL) {
        return NULL;
    }

    if (ngx_http_lua_ffi_sema_new(&w->sem, 0, &errmsg) != NGX_OK) {
        ngx_free(w);
        return NULL;
    }

    w->caller.handler = ngx_ffi_lua_answered;
    w->caller.part = ngx_ffi_lua_part;

    return w;
}


void
ngx_ffi_lua_free_waiter(ngx_ffi_lua_waiter_t *w)
{
    ngx_ffi_lua_free_parts(w);

    /* a semaphore that was posted in vain would not wait the next time */

    if (ngx_http_lua_ffi_sema_count(w->sem) != 0
        || ngx_ffi_lua_nfree == NGX_FFI_LUA_MAX_FREE)
    {
        /* the semaphore's handler, which may be running, looks at it again */

        ngx_ffi_lua_post_sweep();
        ngx_queue_insert_tail(&ngx_ffi_lua_spent, &w->queue);
        return;
    }

    ngx_queue_insert_head(&ngx_ffi_lua_free_waiters, &w->queue);
    ngx_ffi_lua_nfree++;
}


/*
 * Has the coroutine of w resumed in a posted event, once; NGX_DECLINED where
 * none waits any more.
 */
static ngx_int_t
ngx_ffi_lua_resume(ngx_ffi_lua_waiter_t *w)
{
    if (w->posted) {
        return NGX_OK;
    }

    if (ngx_http_lua_ffi_sema_count(w->sem) == 0) {
        return NGX_DECLINED;
    }

    /*
     * The semaphore's handler takes one of the two when it resumes the
     * coroutine; the other one can be taken only after that.
     */

    w->posted = 1;
    ngx_http_lua_ffi_sema_post(w->sem, 2);

    return NGX_OK;
}


ngx_uint_t
ngx_ffi_lua_waits(ngx_ffi_lua_waiter_t *w)
{
    u_char  err[64];
    size_t  len;

    if (!w->posted) {
        return ngx_http_lua_ffi_sema_count(w->sem) < 0;
    }

    len = sizeof(err);

    return ngx_http_lua_ffi_sema_wait(w->request, w->sem, 0, err, &len)
           == NGX_DECLINED;
}


static void
ngx_ffi_lua_answered(bridge_task_t *t)
{
    ngx_ffi_lua_waiter_t  *w;

    w = t->data;

    w->answered = 1;

    ngx_log_debug3(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: call %uL answered: status %d, %uz bytes",
                   bridge_task_id(t), t->rc, t->rsp_len);

    if (!w->taking && ngx_ffi_lua_resume(w) != NGX_OK) {

        /* killed */

        ngx_queue_remove(&w->queue);
        ngx_ffi_lua_free_waiter(w);
        bridge_task_free(bridge_host(), t, 0);
        return;
    }

    ngx_queue_remove(&w->queue);
    ngx_ffi_lua_sweep_later(w);
}


static void
ngx_ffi_lua_part(bridge_task_t *t, bridge_part_t *p)
{
    ngx_int_t              rc;
    ngx_ffi_lua_waiter_t  *w;

    w = t->data;
    rc = NGX_ERROR;

    if (w->failed || w->ended) {
        goto done;
    }

    if (!w->taking
        && !w->posted
        && ngx_http_lua_ffi_sema_count(w->sem) == 0)
    {
        /* killed */

        bridge_task_cancel(bridge_host(), t);
        goto done;
    }

    rc = ngx_ffi_lua_gather(w, p->bytes, p->len);

    if (rc != NGX_OK) {
        bridge_task_cancel(bridge_host(), t);
        (void) ngx_ffi_lua_resume(w);
    }

done:

    bridge_part_free(bridge_host(), p, rc == NGX_OK);
}


ngx_int_t
ngx_ffi_lua_gather(ngx_ffi_lua_waiter_t *w, const char *bytes, size_t len)
{
    size_t   room;
    u_char  *parts;

    if (len > w->max - w->nparts) {
        w->failed = "response too large";
        w->large = w->nparts + len;
        return NGX_ERROR;
    }

    if (len > w->room - w->nparts) {
        room = ngx_max(w->nparts + len, ngx_min(w->room * 2, w->max));

        parts = realloc(w->parts, room);
        if (parts == NULL) {
            w->failed = "no memory";
            return NGX_ERROR;
        }

        w->parts = parts;
        w->room = room;
    }

    ngx_memcpy(w->parts + w->nparts, bytes, len);
    w->nparts += len;

    return NGX_OK;
}


static void
ngx_ffi_lua_free_parts(ngx_ffi_lua_waiter_t *w)
{
    if (w->parts) {
        free(w->parts);
        w->parts = NULL;
        w->nparts = 0;
        w->room = 0;
    }
}


ngx_queue_t *
ngx_ffi_lua_request_waiters(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;
    ngx_ffi_lua_ctx_t   *ctx;

    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lua_ffi_module);
    if (ctx) {
        return &ctx->waiters;
    }

    /* an internal redirect has cleared the context, or there was none */

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_ffi_lua_request_cleanup) {
            ctx = cln->data;
            break;
        }
    }

    if (ctx == NULL) {
        cln = ngx_http_cleanup_add(r, sizeof(ngx_ffi_lua_ctx_t));
        if (cln == NULL) {
            return NULL;
        }

        cln->handler = ngx_ffi_lua_request_cleanup;

        ctx = cln->data;
        ngx_queue_init(&ctx->waiters);
    }

    ngx_http_set_ctx(r, ctx, ngx_http_lua_ffi_module);

    return &ctx->waiters;
}


static void
ngx_ffi_lua_request_cleanup(void *data)
{
    ngx_queue_t           *q;
    ngx_ffi_lua_ctx_t     *ctx;
    ngx_ffi_lua_waiter_t  *w;

    ctx = data;

    while (!ngx_queue_empty(&ctx->waiters)) {
        q = ngx_queue_head(&ctx->waiters);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_ffi_lua_waiter_t, queue);

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, w->request->connection->log, 0,
                       "lua ffi: call %uL cancelled: its request ends",
                       bridge_task_id(w->task));

        bridge_task_cancel(bridge_host(), w->task);

        /* the lua module's own cleanup comes next and needs the semaphore */

        ngx_ffi_lua_sweep_later(w);
    }
}


/*
 * Sweeps w, which is in no queue, behind the semaphores posted so far,
 * unless it is taken out of its queue and given back before.
 */
static void
ngx_ffi_lua_sweep_later(ngx_ffi_lua_waiter_t *w)
{
    ngx_ffi_lua_post_sweep();
    ngx_queue_insert_tail(&ngx_ffi_lua_swept, &w->queue);
}


static void
ngx_ffi_lua_post_sweep(void)
{
    if (ngx_ffi_lua_swept.next == NULL) {
        ngx_queue_init(&ngx_ffi_lua_swept);
        ngx_queue_init(&ngx_ffi_lua_spent);
        ngx_ffi_lua_sweep_event.handler = ngx_ffi_lua_sweep;
        ngx_ffi_lua_sweep_event.log = ngx_cycle->log;
    }

    /* behind all semaphores that have been posted so far */

    if (ngx_ffi_lua_sweep_event.posted) {
        ngx_delete_posted_event((&ngx_ffi_lua_sweep_event));
    }

    ngx_post_event((&ngx_ffi_lua_sweep_event), &ngx_posted_events);
}


static void
ngx_ffi_lua_sweep(ngx_event_t *ev)
{
    ngx_queue_t           *q;
    bridge_task_t         *t;
    ngx_ffi_lua_waiter_t  *w;

    while (!ngx_queue_empty(&ngx_ffi_lua_swept)) {
        q = ngx_queue_head(&ngx_ffi_lua_swept);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_ffi_lua_waiter_t, queue);
        t = w->task;

        t->data = NULL;

        if (w->answered) {
            bridge_task_free(bridge_host(), t, 0);
        }

        ngx_ffi_lua_free_waiter(w);
    }

    ngx_ffi_lua_destroy_waiters(&ngx_ffi_lua_spent);

    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }
}


static void
ngx_ffi_lua_destroy_waiters(ngx_queue_t *waiters)
{
    ngx_queue_t           *q;
    ngx_ffi_lua_waiter_t  *w;

    while (!ngx_queue_empty(waiters)) {
        q = ngx_queue_head(waiters);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_ffi_lua_waiter_t, queue);

        ngx_http_lua_ffi_sema_gc(w->sem);
        ngx_free(w);
    }
}


void
ngx_ffi_lua_end_waits_after(ngx_msec_t ms)
{
    ngx_ffi_lua_set_end(&ngx_ffi_lua_end_event,
                            ngx_ffi_lua_end_waits, ms);
}


void
ngx_ffi_lua_abort_waits_after(ngx_msec_t ms)
{
    ngx_ffi_lua_set_end(&ngx_ffi_lua_abort_event,
                            ngx_ffi_lua_abort_waits, ms);
}


static void
ngx_ffi_lua_set_end(ngx_event_t *ev, ngx_event_handler_pt handler,
    ngx_msec_t ms)
{
    if (ev->timer_set) {
        return;
    }

    /* debug messages of timers look into a connection */
    ngx_ffi_lua_no_conn.fd = (ngx_socket_t) -1;

    ev->handler = handler;
    ev->data = &ngx_ffi_lua_no_conn;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, ms);
}


static void
ngx_ffi_lua_end_waits(ngx_event_t *ev)
{
    uint32_t               slot;
    ngx_ffi_lua_waiter_t  *w;

    (void) ev;

    ngx_ffi_lua_ended = 1;

    for (slot = 0; slot < bridge_host()->ntasks; slot++) {
        w = ngx_ffi_lua_waiter_at(slot);

        if (w) {
            ngx_ffi_lua_end_wait(w, "shutting down");
        }
    }
}


static void
ngx_ffi_lua_abort_waits(ngx_event_t *ev)
{
    uint32_t               slot;
    ngx_ffi_lua_waiter_t  *w;

    (void) ev;

    ngx_ffi_lua_aborted = 1;

    for (slot = 0; slot < bridge_host()->ntasks; slot++) {
        w = ngx_ffi_lua_waiter_at(slot);

        if (w && w->task->deadline == 0
            && ngx_ffi_lua_has_no_client(w->request))
        {
            ngx_ffi_lua_end_wait(w, "aborted");
        }
    }
}


static void
ngx_ffi_lua_end_wait(ngx_ffi_lua_waiter_t *w, const char *why)
{
    if (!w->answered && ngx_ffi_lua_resume(w) == NGX_OK) {
        w->ended = why;
    }
}


ngx_uint_t
ngx_ffi_lua_waits_ended(ngx_http_request_t *r, ngx_msec_t ms)
{
    return ngx_ffi_lua_ended
           || (ngx_ffi_lua_aborted
               && ms == 0
               && ngx_ffi_lua_has_no_client(r));
}


/* the lua module makes a request for each timer, on no socket */
static ngx_uint_t
ngx_ffi_lua_has_no_client(ngx_http_request_t *r)
{
    return r->connection->fd == (ngx_socket_t) -1;
}


/* NULL where nobody waits for the task in the slot */
static ngx_ffi_lua_waiter_t *
ngx_ffi_lua_waiter_at(uint32_t slot)
{
    ngx_http_ffi_caller_t  *caller;

    caller = bridge_task_at(bridge_host(), slot)->data;

    if (caller == NULL || caller->handler != ngx_ffi_lua_answered) {
        return NULL;
    }

    return (ngx_ffi_lua_waiter_t *) caller;
}


void
ngx_ffi_lua_waiters_exit(void)
{
    uint32_t               slot;
    bridge_task_t         *t;
    ngx_ffi_lua_waiter_t  *w;

    for (slot = 0; slot < bridge_host()->ntasks; slot++) {
        w = ngx_ffi_lua_waiter_at(slot);

        if (w) {
            t = w->task;
            t->data = NULL;

            if (w->answered) {
                bridge_task_free(bridge_host(), t, 0);
            }

            ngx_ffi_lua_free_parts(w);
            ngx_http_lua_ffi_sema_gc(w->sem);
            ngx_free(w);
        }
    }

    if (ngx_ffi_lua_free_waiters.next) {
        ngx_ffi_lua_destroy_waiters(&ngx_ffi_lua_free_waiters);
        ngx_ffi_lua_nfree = 0;
    }

    if (ngx_ffi_lua_swept.next) {
        ngx_ffi_lua_destroy_waiters(&ngx_ffi_lua_spent);
    }
}
