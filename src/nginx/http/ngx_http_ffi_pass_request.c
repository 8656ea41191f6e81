/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "ngx_http_ffi_pass_drain.h"
#include "ngx_http_ffi_pass_request.h"
#include "ngx_http_ffi_status_block.h"


static void ngx_http_ffi_pass_answered(bridge_task_t *t);
static void ngx_http_ffi_pass_cleanup(void *data);
static void ngx_http_ffi_pass_pool_cleanup(void *data);
static void ngx_http_ffi_pass_free_heads(bridge_head_t **list);
static void ngx_http_ffi_pass_settle(ngx_http_ffi_pass_t *p, ngx_int_t rc);
static void ngx_http_ffi_pass_break(ngx_http_ffi_pass_t *p);


static ngx_queue_t  ngx_http_ffi_passes = {
    &ngx_http_ffi_passes, &ngx_http_ffi_passes
};


ngx_http_ffi_pass_t *
ngx_http_ffi_pass_new(ngx_http_request_t *r)
{
    ngx_http_cleanup_t   *cln;
    ngx_pool_cleanup_t   *pcln;
    ngx_http_ffi_pass_t  *p;

    p = ngx_pcalloc(r->pool, sizeof(ngx_http_ffi_pass_t));
    cln = ngx_http_cleanup_add(r, 0);
    pcln = ngx_pool_cleanup_add(r->pool, 0);

    if (p == NULL
        || cln == NULL
        || pcln == NULL
        || ngx_http_ffi_outlet_init(&p->outlet, r) != NGX_OK)
    {
        return NULL;
    }

    p->caller.handler = ngx_http_ffi_pass_answered;
    p->caller.log = r->connection->log;
    p->request = r;
    p->length = -1;

    p->event.data = p;
    p->event.log = r->connection->log;

    p->timer.data = p;
    p->timer.log = r->connection->log;

    ngx_queue_insert_tail(&ngx_http_ffi_passes, &p->queue);

    cln->handler = ngx_http_ffi_pass_cleanup;
    cln->data = p;

    pcln->handler = ngx_http_ffi_pass_pool_cleanup;
    pcln->data = p;

    ngx_http_set_ctx(r, p, ngx_http_ffi_pass_module);

    return p;
}


ngx_http_ffi_pass_t *
ngx_http_ffi_pass_get(ngx_http_request_t *r)
{
    return ngx_http_get_module_ctx(r, ngx_http_ffi_pass_module);
}


/* of its own task, and of the one that waits for the start */
static void
ngx_http_ffi_pass_answered(bridge_task_t *t)
{
    ngx_http_ffi_pass_t  *p;

    p = t->data;
    p->answered = 1;

    ngx_http_ffi_pass_post(p);
}


static void
ngx_http_ffi_pass_cleanup(void *data)
{
    ngx_http_ffi_pass_end(data);
}


/* nginx's log may have wanted the fields */
static void
ngx_http_ffi_pass_pool_cleanup(void *data)
{
    ngx_http_ffi_pass_t  *p;

    p = data;

    if (p->head) {
        bridge_head_free(p->head);
    }

    ngx_http_ffi_pass_free_heads(&p->hints);
    ngx_http_ffi_pass_free_heads(&p->trailers);
}


static void
ngx_http_ffi_pass_free_heads(bridge_head_t **list)
{
    bridge_head_t  *h;

    while ((h = *list) != NULL) {
        *list = (bridge_head_t *) h->node.next;
        bridge_head_free(h);
    }
}


void
ngx_http_ffi_pass_post(ngx_http_ffi_pass_t *p)
{
    if (p->event.posted && p->later) {
        ngx_delete_posted_event((&p->event));
    }

    p->later = 0;

    ngx_post_event((&p->event), &ngx_posted_events);
}


void
ngx_http_ffi_pass_post_later(ngx_http_ffi_pass_t *p)
{
    if (!p->event.posted) {
        p->later = 1;
        ngx_post_event((&p->event), &ngx_posted_next_events);
    }
}


void
ngx_http_ffi_pass_wait(ngx_http_ffi_pass_t *p, ngx_msec_t ms)
{
    if (ms == 0 || ms > NGX_MAX_INT32_VALUE) {
        ms = NGX_MAX_INT32_VALUE;
    }

    ngx_add_timer(&p->timer, ms);
}


ngx_uint_t
ngx_http_ffi_pass_waits_for_client(ngx_http_ffi_pass_t *p)
{
    if (p->feeding && p->unbuffered && !p->held) {
        return 1;
    }

    return p->head_sent && !p->no_body && !p->lost
           && ngx_http_ffi_outlet_blocked(&p->outlet);
}


void
ngx_http_ffi_pass_watch(ngx_http_ffi_pass_t *p)
{
    p->request->read_event_handler = p->conf->ignore_client_abort
                                     ? ngx_http_block_reading
                                     : ngx_http_test_reading;
}


void
ngx_http_ffi_pass_each(void (*visit)(ngx_http_ffi_pass_t *p))
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&ngx_http_ffi_passes);
         q != ngx_queue_sentinel(&ngx_http_ffi_passes);
         q = ngx_queue_next(q))
    {
        visit(ngx_queue_data(q, ngx_http_ffi_pass_t, queue));
    }
}


void
ngx_http_ffi_pass_end(ngx_http_ffi_pass_t *p)
{
    bridge_task_t  *t;

    if (p->event.posted) {
        ngx_delete_posted_event((&p->event));
    }

    if (p->timer.timer_set) {
        ngx_del_timer(&p->timer);
    }

    t = p->task;

    if (t) {
        p->task = NULL;
        t->data = NULL;

        if (p->answered) {
            bridge_task_free(bridge_host(), t, 0);

        } else {
            ngx_log_debug1(NGX_LOG_DEBUG_HTTP,
                           p->request->connection->log, 0,
                           "ffi: request %uL cancelled", bridge_task_id(t));

            bridge_task_cancel(bridge_host(), t);
        }
    }

    ngx_http_ffi_outlet_drop(&p->outlet);

    /* it may be ended once more */

    ngx_queue_remove(&p->queue);
    ngx_queue_init(&p->queue);
}


void
ngx_http_ffi_pass_leave(ngx_http_ffi_pass_t *p, off_t max)
{
    bridge_task_t  *t;

    t = p->task;

    if (t && p->answered) {
        ngx_http_ffi_pass_drained(t, &p->target->name);

    } else if (t && !p->feeding) {
        p->task = NULL;

        ngx_http_ffi_pass_drain(t, &p->target->name,
                                p->conf->read_timeout, max);
    }

    ngx_http_ffi_pass_end(p);
}


void
ngx_http_ffi_pass_lost(ngx_http_ffi_pass_t *p, ngx_int_t rc)
{
    ngx_event_t       *wev;
    ngx_connection_t  *c;

    c = p->request->connection;

    if (p->conf->ignore_client_abort && !p->upgraded
        && (c->error || c->timedout))
    {

        /* it has the rest of the body yet to read, which is there */

        if (p->feeding && !p->unbuffered && !p->answered) {
            wev = c->write;

            if (wev->timer_set) {
                ngx_del_timer(wev);
            }

            c->error = 1;
            p->lost = 1;

            /* frames of HTTP/2 may be on their way still */

            if (p->request->http_version <= NGX_HTTP_VERSION_11) {
                ngx_http_ffi_outlet_abandon(&p->outlet);
            }

            return;
        }

        ngx_http_ffi_pass_leave(p, -1);
    }

    /* it may be the runtime's fault: a file that has become shorter */

    if (p->head_sent && p->request == p->request->main) {
        ngx_http_ffi_outlet_break(&p->outlet);
    }

    ngx_http_ffi_pass_finalize(p, rc);
}


void
ngx_http_ffi_pass_end_all(void)
{
    ngx_queue_t  *q;

    ngx_http_ffi_pass_drain_end_all();

    while (!ngx_queue_empty(&ngx_http_ffi_passes)) {
        q = ngx_queue_head(&ngx_http_ffi_passes);

        ngx_http_ffi_pass_end(ngx_queue_data(q, ngx_http_ffi_pass_t, queue));
    }
}


void
ngx_http_ffi_pass_finalize(ngx_http_ffi_pass_t *p, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    r = p->request;

    ngx_http_ffi_pass_settle(p, rc);

    ngx_http_ffi_pass_end(p);

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_finalize_request(r, rc);
}


/* what ends with a client's own fault is gone */
static void
ngx_http_ffi_pass_settle(ngx_http_ffi_pass_t *p, ngx_int_t rc)
{
    if (p->task == NULL) {
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_ffi_status_settle(p->task, NGX_HTTP_FFI_CALL_OK);

    } else if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        ngx_http_ffi_status_settle(p->task, NGX_HTTP_FFI_CALL_TIMEOUT);

    } else if (rc >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_http_ffi_status_settle(p->task, NGX_HTTP_FFI_CALL_ERROR);
    }
}


void
ngx_http_ffi_pass_fail(ngx_http_ffi_pass_t *p, ngx_int_t status)
{
    ngx_http_ffi_pass_settle(p, status);

    if (!p->head_sent) {
        ngx_http_ffi_pass_finalize(p, status);
        return;
    }

    if (p->no_body) {
        ngx_http_ffi_pass_finalize(p, NGX_OK);
        return;
    }

    ngx_http_ffi_pass_break(p);
}


static void
ngx_http_ffi_pass_break(ngx_http_ffi_pass_t *p)
{
    ngx_http_request_t  *r;

    r = p->request;

    ngx_http_ffi_pass_end(p);
    ngx_http_ffi_outlet_break(&p->outlet);

    /* what a subrequest lacks nobody would miss */

    if (r != r->main || r->connection->error) {
        ngx_http_ffi_pass_finalize(p, NGX_ERROR);
        return;
    }

    ngx_http_ffi_pass_finalize(p, ngx_http_send_special(r, NGX_HTTP_FLUSH));
}
