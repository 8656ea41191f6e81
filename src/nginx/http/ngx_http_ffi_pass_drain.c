/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "abi.h"
#include "end.h"
#include "file.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_pass_drain.h"


typedef struct {
    ngx_http_ffi_caller_t   caller;     /* first: bridge_task_t.data */
    ngx_queue_t             queue;      /* of all there are */
    ngx_event_t             timer;      /* while it is set a worker that quits
                                           stays */
    ngx_msec_t              touched;    /* when a part has come last */
    ngx_msec_t              ms;         /* 0: no bound */
    off_t                   left;       /* bytes; -1: no bound */
    bridge_task_t          *task;
    ngx_str_t              *name;
} ngx_http_ffi_drain_t;


static void ngx_http_ffi_pass_drain_answer(bridge_task_t *t);
static void ngx_http_ffi_pass_drain_part(bridge_task_t *t,
    bridge_part_t *part);
static void ngx_http_ffi_pass_drain_head(bridge_task_t *t, bridge_head_t *h);
static void ngx_http_ffi_pass_drain_timer(ngx_event_t *ev);
static void ngx_http_ffi_pass_drain_cancel(ngx_http_ffi_drain_t *d);
static void ngx_http_ffi_pass_drain_free(ngx_http_ffi_drain_t *d);


static ngx_queue_t  ngx_http_ffi_drains = {
    &ngx_http_ffi_drains, &ngx_http_ffi_drains
};


void
ngx_http_ffi_pass_drain(bridge_task_t *t, ngx_str_t *name, ngx_msec_t ms,
    off_t max)
{
    ngx_http_ffi_drain_t  *d;

    d = ngx_calloc(sizeof(ngx_http_ffi_drain_t), ngx_cycle->log);

    if (d == NULL) {
        t->data = NULL;
        bridge_task_cancel(bridge_host(), t);
        return;
    }

    d->caller.handler = ngx_http_ffi_pass_drain_answer;
    d->caller.part = ngx_http_ffi_pass_drain_part;
    d->caller.head = ngx_http_ffi_pass_drain_head;

    d->timer.handler = ngx_http_ffi_pass_drain_timer;
    d->timer.data = d;
    d->timer.log = ngx_cycle->log;

    d->touched = ngx_current_msec;
    d->ms = ms;
    d->left = max;
    d->task = t;
    d->name = name;

    t->data = d;

    ngx_queue_insert_tail(&ngx_http_ffi_drains, &d->queue);
    ngx_add_timer(&d->timer, ms ? ms : NGX_MAX_INT32_VALUE);
}


static void
ngx_http_ffi_pass_drain_answer(bridge_task_t *t)
{
    ngx_http_ffi_drain_t  *d;

    d = t->data;

    ngx_http_ffi_pass_drained(t, d->name);
    ngx_http_ffi_pass_drain_free(d);

    bridge_task_free(bridge_host(), t, 0);
}


void
ngx_http_ffi_pass_drained(bridge_task_t *t, ngx_str_t *name)
{
    if (t->rc != 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "FFI055: ffi: "
                      "\"%V\" has failed with status %d when its client "
                      "had another answer, or had gone",
                      name, t->rc);
    }
}


static void
ngx_http_ffi_pass_drain_part(bridge_task_t *t, bridge_part_t *part)
{
    off_t                  len;
    ngx_http_ffi_drain_t  *d;

    d = t->data;
    d->touched = ngx_current_msec;

    len = bridge_part_is_file(part) ? BRIDGE_FILE_COST : (off_t) part->len;
    bridge_part_free(bridge_host(), part, 0);

    if (d->left == -1) {
        return;
    }

    if (len > d->left) {
        ngx_http_ffi_pass_drain_cancel(d);
        return;
    }

    d->left -= len;
}


static void
ngx_http_ffi_pass_drain_head(bridge_task_t *t, bridge_head_t *h)
{
    (void) t;

    bridge_head_free(h);
}


static void
ngx_http_ffi_pass_drain_timer(ngx_event_t *ev)
{
    ngx_msec_int_t         left;
    ngx_http_ffi_drain_t  *d;

    d = ev->data;
    left = (ngx_msec_int_t) (d->touched + d->ms - ngx_current_msec);

    if (d->ms == 0 || left > 0) {
        ngx_add_timer(ev, d->ms ? (ngx_msec_t) left : NGX_MAX_INT32_VALUE);
        return;
    }

    ngx_http_ffi_pass_drain_cancel(d);
}


static void
ngx_http_ffi_pass_drain_cancel(ngx_http_ffi_drain_t *d)
{
    bridge_task_t  *t;

    t = d->task;
    t->data = NULL;

    ngx_http_ffi_pass_drain_free(d);

    bridge_task_cancel(bridge_host(), t);
}


static void
ngx_http_ffi_pass_drain_free(ngx_http_ffi_drain_t *d)
{
    if (d->timer.timer_set) {
        ngx_del_timer(&d->timer);
    }

    ngx_queue_remove(&d->queue);
    ngx_free(d);
}


void
ngx_http_ffi_pass_drain_end_all(void)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&ngx_http_ffi_drains)) {
        q = ngx_queue_head(&ngx_http_ffi_drains);

        ngx_http_ffi_pass_drain_cancel(ngx_queue_data(q, ngx_http_ffi_drain_t,
                                                      queue));
    }
}
