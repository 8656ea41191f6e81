/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>

#include "abi.h"
#include "clock.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_runtimes.h"
#include "threads.h"


/* ms that threads of runtimes leave to resty_ffi_exit, at most half of all */
#define NGX_HTTP_FFI_LIBRARY_EXIT  1000

/* ms for threads that have nothing to do: Go's never end */
#define NGX_HTTP_FFI_IDLE_EXIT     300


static uint32_t ngx_http_ffi_closing_threads(ngx_uint_t *works);


void  (*ngx_http_ffi_released)(ngx_http_ffi_runtime_t *rt);


void
ngx_http_ffi_sweep_closing(void)
{
    uint32_t                 threads;
    ngx_uint_t               polled;
    ngx_queue_t             *q, *next;
    ngx_http_ffi_runtime_t  *rt;

    for (q = ngx_queue_head(&ngx_http_ffi_closing);
         q != ngx_queue_sentinel(&ngx_http_ffi_closing);
         q = next)
    {
        next = ngx_queue_next(q);
        rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);

        threads = bridge_queue_threads(rt->requests);

        /* a thread that has not polled yet may be about to */

        polled = atomic_load(&rt->requests->polled);

        ngx_http_ffi_check_threads(rt);

        /* what is left in the queue of one that is stuck */

        if (bridge_queue_all_cancelled(rt->requests)) {
            (void) bridge_queue_reject(bridge_host(), rt->requests);
        }

        if (!rt->reported
            || (rt->load.unpin && threads)
            || !bridge_queue_release(rt->requests))
        {
            continue;
        }

        if (rt->load.unpin && polled && dlclose(rt->library) != 0) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "FFI011: lua ffi: dlclose() of \"%V\" failed: %s",
                          &rt->load.lib, dlerror());
        }

        if (ngx_http_ffi_released) {
            ngx_http_ffi_released(rt);
        }

        ngx_queue_remove(&rt->queue);
        ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_RELEASE, NULL);
    }
}


void
ngx_http_ffi_each_runtime(void (*visit)(ngx_http_ffi_runtime_t *rt))
{
    ngx_uint_t    i;
    ngx_queue_t  *q, *lists[2];

    lists[0] = &ngx_http_ffi_live;
    lists[1] = &ngx_http_ffi_closing;

    for (i = 0; i < 2; i++) {
        for (q = ngx_queue_head(lists[i]);
             q != ngx_queue_sentinel(lists[i]);
             q = ngx_queue_next(q))
        {
            visit(ngx_queue_data(q, ngx_http_ffi_runtime_t, queue));
        }
    }
}


void
ngx_http_ffi_check_all_threads(void)
{
    ngx_http_ffi_each_runtime(ngx_http_ffi_check_threads);
}


ngx_int_t
ngx_http_ffi_live_threads(void)
{
    ngx_int_t                n;
    ngx_queue_t             *q;
    ngx_http_ffi_runtime_t  *rt;

    n = 0;

    for (q = ngx_queue_head(&ngx_http_ffi_live);
         q != ngx_queue_sentinel(&ngx_http_ffi_live);
         q = ngx_queue_next(q))
    {
        rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);
        n += bridge_queue_threads(rt->requests);
    }

    return n;
}


void
ngx_http_ffi_unload_all(ngx_msec_t ms)
{
    uint32_t                 threads;
    ngx_msec_t               began, worked, waited, patience;
    ngx_uint_t               works;
    ngx_queue_t             *q;
    ngx_http_ffi_runtime_t  *rt;

    /* libraries get the rest, to end and to tell what the stuck ones do */

    patience = ms - ngx_min(ms / 2, NGX_HTTP_FFI_LIBRARY_EXIT);

    atomic_store(&bridge_host()->exit_at,
                 bridge_now_us() / 1000 + (int64_t) patience);
    atomic_store(&bridge_host()->exiting, true);

    while (!ngx_queue_empty(&ngx_http_ffi_live)) {
        q = ngx_queue_head(&ngx_http_ffi_live);
        rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);
        ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_UNLOAD, NULL);
    }

    /* nobody tells when a thread has ended */

    ngx_time_update();
    began = worked = ngx_current_msec;

    for ( ;; ) {
        threads = ngx_http_ffi_closing_threads(&works);

        if (works) {
            worked = ngx_current_msec;
        }

        waited = ngx_current_msec - began;

        if (threads == 0
            || waited >= patience
            || ngx_current_msec - worked >= NGX_HTTP_FFI_IDLE_EXIT)
        {
            break;
        }

        ngx_msleep(5);
        ngx_time_update();
        ngx_http_ffi_event_drain();
    }

    ngx_http_ffi_event_drain();

    if (threads && works) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "FFI009: lua ffi: %uD threads of runtimes have not ended "
                      "within %M ms of the unload; leaving without them",
                      threads, waited);
    }

    ngx_http_ffi_libraries_exit(ms - ngx_min(ms, waited));
    ngx_http_ffi_event_drain();
}


/*
 * The threads of runtimes that are being unloaded; whether any of them works
 * on a call, or has yet to see the end of its queue.
 */
static uint32_t
ngx_http_ffi_closing_threads(ngx_uint_t *works)
{
    uint32_t                 n, threads;
    ngx_queue_t             *q;
    ngx_http_ffi_runtime_t  *rt;

    threads = 0;
    *works = 0;

    for (q = ngx_queue_head(&ngx_http_ffi_closing);
         q != ngx_queue_sentinel(&ngx_http_ffi_closing);
         q = ngx_queue_next(q))
    {
        rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);

        n = bridge_queue_threads(rt->requests);
        threads += n;

        if (n
            && (bridge_queue_active(rt->requests)
                || bridge_queue_unanswered(bridge_host(), rt->requests)))
        {
            *works = 1;
        }
    }

    return threads;
}
