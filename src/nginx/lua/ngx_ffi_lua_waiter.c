/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_waiter.h"
#include "ngx_http_ffi_status_block.h"


static void ngx_ffi_lua_answered(bridge_task_t *t);
static void ngx_ffi_lua_part(bridge_task_t *t, bridge_part_t *p);
static void ngx_ffi_lua_waiter_end(ngx_ffi_lua_owned_t *o);
static void ngx_ffi_lua_sweep_later(ngx_ffi_lua_waiter_t *w);
static void ngx_ffi_lua_sweep(ngx_event_t *ev);
static ngx_ffi_lua_waiter_t *ngx_ffi_lua_waiter_at(uint32_t slot);


static ngx_queue_t            ngx_ffi_lua_swept;
static ngx_event_t            ngx_ffi_lua_sweep_event;
static ngx_ffi_lua_waiter_t  *ngx_ffi_lua_last;     /* made */


ngx_ffi_lua_waiter_t *
ngx_ffi_lua_waiter_new(ngx_http_request_t *r, bridge_task_t *t)
{
    ngx_ffi_lua_waiter_t  *w;

    if (ngx_ffi_lua_last && ngx_ffi_lua_last->sema == NULL) {
        ngx_ffi_lua_waiter_drop(ngx_ffi_lua_last);
    }

    w = ngx_calloc(sizeof(ngx_ffi_lua_waiter_t), ngx_cycle->log);
    if (w == NULL) {
        return NULL;
    }

    w->owned.end = ngx_ffi_lua_waiter_end;

    if (ngx_ffi_lua_own(r, &w->owned) != NGX_OK) {
        ngx_free(w);
        return NULL;
    }

    w->caller.handler = ngx_ffi_lua_answered;
    w->caller.part = ngx_ffi_lua_part;
    w->caller.log = r->connection->log;
    w->request = r;
    w->task = t;

    t->data = w;

    ngx_ffi_lua_last = w;

    return w;
}


void
ngx_ffi_lua_waiter_free(ngx_ffi_lua_waiter_t *w)
{
    w->task->data = NULL;

    ngx_queue_remove(&w->owned.queue);

    if (w->sema) {
        ngx_ffi_lua_sema_put(w->sema);
    }

    if (ngx_ffi_lua_last == w) {
        ngx_ffi_lua_last = NULL;
    }

    free(w->parts);
    ngx_free(w);
}


void
ngx_ffi_lua_waiter_drop(ngx_ffi_lua_waiter_t *w)
{
    bridge_task_t  *t;

    t = w->task;

    if (!w->kept && !w->answered) {
        bridge_task_cancel(bridge_host(), t);
        ngx_ffi_lua_waiter_free(w);
        return;
    }

    ngx_ffi_lua_waiter_free(w);
    bridge_task_free(bridge_host(), t, 0);
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

    if (!w->taking
        && (w->sema == NULL || ngx_ffi_lua_sema_resume(w->sema) != NGX_OK))
    {
        /* killed, or has raised */

        ngx_ffi_lua_waiter_free(w);
        bridge_task_free(bridge_host(), t, 0);
        return;
    }

    ngx_queue_remove(&w->owned.queue);
    ngx_ffi_lua_sweep_later(w);
}


static void
ngx_ffi_lua_part(bridge_task_t *t, bridge_part_t *p)
{
    ngx_int_t              rc;
    ngx_ffi_lua_waiter_t  *w;

    w = t->data;
    rc = NGX_ERROR;

    if (w->failed) {
        goto done;
    }

    if (!w->taking && ngx_ffi_lua_sema_left(w->sema)) {

        /* killed */

        bridge_task_cancel(bridge_host(), t);
        goto done;
    }

    rc = ngx_ffi_lua_gather(w, p->bytes, p->len);

    if (rc != NGX_OK) {
        ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_ERROR);
        bridge_task_cancel(bridge_host(), t);
        (void) ngx_ffi_lua_sema_resume(w->sema);
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
ngx_ffi_lua_waiter_end(ngx_ffi_lua_owned_t *o)
{
    ngx_ffi_lua_waiter_t  *w;

    w = ngx_queue_data(o, ngx_ffi_lua_waiter_t, owned);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, w->request->connection->log, 0,
                   "lua ffi: call %uL cancelled: its request ends",
                   bridge_task_id(w->task));

    /* not in the request's queue any more */
    ngx_queue_init(&o->queue);

    ngx_ffi_lua_waiter_drop(w);
}


/*
 * Sweeps w, which has its answer and is in no queue, behind the semaphores
 * posted so far, unless it is freed before.
 */
static void
ngx_ffi_lua_sweep_later(ngx_ffi_lua_waiter_t *w)
{
    ngx_event_t  *ev;

    ev = &ngx_ffi_lua_sweep_event;

    if (ngx_ffi_lua_swept.next == NULL) {
        ngx_queue_init(&ngx_ffi_lua_swept);
        ev->handler = ngx_ffi_lua_sweep;
        ev->log = ngx_cycle->log;
    }

    ngx_queue_insert_tail(&ngx_ffi_lua_swept, &w->owned.queue);

    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    ngx_post_event(ev, &ngx_posted_events);
}


static void
ngx_ffi_lua_sweep(ngx_event_t *ev)
{
    ngx_queue_t           *q;
    bridge_task_t         *t;
    ngx_ffi_lua_waiter_t  *w;

    (void) ev;

    while (!ngx_queue_empty(&ngx_ffi_lua_swept)) {
        q = ngx_queue_head(&ngx_ffi_lua_swept);

        w = ngx_queue_data(q, ngx_ffi_lua_waiter_t, owned.queue);
        t = w->task;

        ngx_ffi_lua_waiter_free(w);
        bridge_task_free(bridge_host(), t, 0);
    }
}


void
ngx_ffi_lua_waiters_exit(void)
{
    uint32_t               slot;
    bridge_task_t         *t;
    ngx_uint_t             ended;
    ngx_ffi_lua_waiter_t  *w;

    for (slot = 0; slot < bridge_host()->ntasks; slot++) {
        w = ngx_ffi_lua_waiter_at(slot);

        if (w) {
            t = w->task;
            ended = w->answered || w->kept;

            ngx_ffi_lua_waiter_free(w);

            if (ended) {
                bridge_task_free(bridge_host(), t, 0);
            }
        }
    }
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
