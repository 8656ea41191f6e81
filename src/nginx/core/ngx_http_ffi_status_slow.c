/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "abi.h"
#include "clock.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_runtime.h"
#include "ngx_http_ffi_status_record.h"
#include "ngx_http_ffi_status_slow.h"


/* ms between two looks */
#define NGX_HTTP_FFI_SLOW_MIN_LOOK  50
#define NGX_HTTP_FFI_SLOW_MAX_LOOK  1000

/* tasks that are looked at in one turn, and that are asked about */
#define NGX_HTTP_FFI_SLOW_TASKS     8192
#define NGX_HTTP_FFI_SLOW_ASKED     8


static void ngx_http_ffi_slow_timer(ngx_event_t *ev);
static ngx_uint_t ngx_http_ffi_slow_is(bridge_task_t *t, int64_t now);
static void ngx_http_ffi_slow_ask(bridge_task_t *t, int64_t now);


static ngx_msec_t        ngx_http_ffi_slow_time;
static uint32_t          ngx_http_ffi_slow_slot;
static ngx_event_t       ngx_http_ffi_slow_event;
static ngx_connection_t  ngx_http_ffi_slow_dumb;


void
ngx_http_ffi_slow_start(ngx_msec_t slow_time)
{
    ngx_event_t  *ev;

    if (ngx_http_ffi_status_zone() == NULL) {
        return;
    }

    ngx_http_ffi_status_failed = ngx_http_ffi_status_record_error;

    if (slow_time == 0) {
        return;
    }

    ngx_http_ffi_slow_time = slow_time;
    ngx_http_ffi_slow_dumb.fd = (ngx_socket_t) -1;

    ev = &ngx_http_ffi_slow_event;

    ev->handler = ngx_http_ffi_slow_timer;
    ev->data = &ngx_http_ffi_slow_dumb;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_FFI_SLOW_MIN_LOOK);
}


static void
ngx_http_ffi_slow_timer(ngx_event_t *ev)
{
    int64_t         now;
    bridge_t       *b;
    ngx_uint_t      i, n, asked;
    bridge_task_t  *t;

    b = bridge_host();

    n = b->live_tasks ? ngx_min(b->ntasks, NGX_HTTP_FFI_SLOW_TASKS) : 0;
    now = n ? bridge_now_us() : 0;

    for (i = 0, asked = 0; i < n && asked < NGX_HTTP_FFI_SLOW_ASKED; i++) {

        if (ngx_http_ffi_slow_slot >= b->ntasks) {
            ngx_http_ffi_slow_slot = 0;
        }

        t = bridge_task_at(b, ngx_http_ffi_slow_slot++);

        if (ngx_http_ffi_slow_is(t, now)) {
            ngx_http_ffi_slow_ask(t, now);
            asked++;
        }
    }

    ngx_add_timer(ev, ngx_max(NGX_HTTP_FFI_SLOW_MIN_LOOK,
                              ngx_min(ngx_http_ffi_slow_time / 2,
                                      NGX_HTTP_FFI_SLOW_MAX_LOOK)));
}


static ngx_uint_t
ngx_http_ffi_slow_is(bridge_task_t *t, int64_t now)
{
    return t->account
           && t->put_at
           && !t->watched
           && !t->settled
           && bridge_task_phase(bridge_task_state(t)) != BRIDGE_TASK_FREE
           && now - t->put_at > (int64_t) ngx_http_ffi_slow_time * 1000;
}


static void
ngx_http_ffi_slow_ask(bridge_task_t *t, int64_t now)
{
    int                      tid;
    void                    *tsk;
    ngx_str_t                text;
    ngx_http_ffi_runtime_t  *rt;

    t->watched = true;
    tid = bridge_task_holder(t);
    tsk = (void *) (uintptr_t) bridge_task_handle(t);

    if (tid == 0) {
        ngx_str_set(&text, "waits in the queue");

    } else {
        ngx_str_null(&text);
    }

    ngx_http_ffi_status_record(t, NGX_HTTP_FFI_RECORD_SLOW,
                               (uint64_t) (now - t->put_at), &text);

    rt = ngx_http_ffi_runtime_of(t);

    if (tid == 0
        || rt == NULL
        || ngx_http_ffi_library_describe(rt->library, tsk, tid) != NGX_OK)
    {
        bridge_describe(bridge_host(), bridge_task_handle(t),
                        tid ? "runs" : "waits in the queue",
                        tid ? 4 : 18);
    }
}
