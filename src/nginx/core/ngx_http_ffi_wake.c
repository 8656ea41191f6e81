/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_wake.h"


/* so that a long turn of the loop keeps nobody waiting */
#define NGX_HTTP_FFI_MAX_QUIET  32


static void ngx_http_ffi_wake_handler(ngx_event_t *ev);


static ngx_queue_t  ngx_http_ffi_quiet;
static ngx_event_t  ngx_http_ffi_wake_event;


void
ngx_http_ffi_wake_later(ngx_http_ffi_wake_t *wake)
{
    /* a worker that leaves runs timers before its next turn, not in one */

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        bridge_queue_wake(wake->requests);
        return;
    }

    if (wake->ncalls++ == 0) {

        if (ngx_http_ffi_quiet.next == NULL) {
            ngx_queue_init(&ngx_http_ffi_quiet);
            ngx_http_ffi_wake_event.handler = ngx_http_ffi_wake_handler;
            ngx_http_ffi_wake_event.log = ngx_cycle->log;
        }

        ngx_queue_insert_tail(&ngx_http_ffi_quiet, &wake->queue);
        ngx_post_event((&ngx_http_ffi_wake_event), &ngx_posted_events);

    } else if (wake->ncalls % NGX_HTTP_FFI_MAX_QUIET == 0) {
        bridge_queue_wake(wake->requests);
    }
}


void
ngx_http_ffi_wake_cancel(ngx_http_ffi_wake_t *wake)
{
    if (wake->ncalls) {
        wake->ncalls = 0;
        ngx_queue_remove(&wake->queue);
    }
}


static void
ngx_http_ffi_wake_handler(ngx_event_t *ev)
{
    (void) ev;

    ngx_http_ffi_wake_now();
}


void
ngx_http_ffi_wake_now(void)
{
    ngx_queue_t          *q;
    ngx_http_ffi_wake_t  *wake;

    if (ngx_http_ffi_quiet.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&ngx_http_ffi_quiet)) {
        q = ngx_queue_head(&ngx_http_ffi_quiet);
        ngx_queue_remove(q);

        wake = ngx_queue_data(q, ngx_http_ffi_wake_t, queue);

        ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                       "lua ffi: wake for %ui calls, %uD wait",
                       wake->ncalls, bridge_queue_len(wake->requests));

        wake->ncalls = 0;
        bridge_queue_wake(wake->requests);
        ngx_http_ffi_event_look(wake->requests);
    }
}
