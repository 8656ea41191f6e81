#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>

#include "abi.h"
#include "ngx_http_ffi_health.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_process.h"
#include "ngx_http_ffi_registry.h"
#include "ngx_http_ffi_runtime.h"
#include "ngx_http_ffi_start.h"
#include "ngx_http_ffi_wake.h"


/* ms that threads of runtimes leave to resty_ffi_exit, at most half of all */
#define NGX_HTTP_FFI_LIBRARY_EXIT  1000

/* ms for threads that have nothing to do: Go's never end */
#define NGX_HTTP_FFI_IDLE_EXIT     300


static ngx_http_ffi_runtime_t *ngx_http_ffi_create(
    ngx_http_ffi_load_t  *load, void *library);
static ngx_int_t ngx_http_ffi_decide(ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_sweep_closing(void);
static uint32_t ngx_http_ffi_closing_threads(ngx_uint_t *works);
static void ngx_http_ffi_free(ngx_http_ffi_runtime_t *rt);


static ngx_queue_t  ngx_http_ffi_live;
static ngx_queue_t  ngx_http_ffi_closing;
static ngx_uint_t   ngx_http_ffi_exiting;


ngx_int_t
ngx_http_ffi_prepare(u_char *err, size_t *errlen)
{
    if (ngx_http_ffi_exiting) {
        *errlen = ngx_snprintf(err, *errlen, "shutting down") - err;
        return NGX_ERROR;
    }

    if (ngx_http_ffi_live.next == NULL) {
        ngx_queue_init(&ngx_http_ffi_live);
        ngx_queue_init(&ngx_http_ffi_closing);
    }

    if (ngx_http_ffi_process_init(ngx_http_ffi_threads_ended) != NGX_OK) {
        *errlen = ngx_snprintf(err, *errlen, "no connection or descriptor "
                               "left (see worker_connections)")
                  - err;
        return NGX_ERROR;
    }

    ngx_http_ffi_sweep_closing();

    return NGX_OK;
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_start(ngx_http_ffi_load_t *load, void *library,
    ngx_http_ffi_entry_t *entry, u_char *err, size_t *errlen)
{
    int                      rc;
    void                    *tq;
    size_t                   room;
    ngx_str_t                cfg;
    ngx_http_ffi_init_pt     init;
    ngx_http_ffi_runtime_t  *rt;

    room = *errlen;
    ngx_str_null(&cfg);

    init = ngx_http_ffi_library_init(library, err, errlen);
    if (init == NULL) {
        (void) dlclose(library);
        return NULL;
    }

    rt = NULL;

    if (!load->has_cfg
        || ngx_http_ffi_dup(&cfg, load->cfg.data, load->cfg.len)
           == NGX_OK)
    {
        rt = ngx_http_ffi_create(load, library);
    }

    if (rt == NULL) {
        *errlen = ngx_snprintf(err, room, "no memory, or %d runtimes",
                               BRIDGE_MAX_QUEUES)
                  - err;
        (void) dlclose(library);
        goto done;
    }

    ngx_http_ffi_attach(entry, rt);

    tq = (void *) (uintptr_t) bridge_queue_handle(rt->requests);

    rc = init((char *) cfg.data, tq);

    if (rc == 0 && ngx_http_ffi_library_async(library)) {
        goto done;
    }

    if (ngx_http_ffi_decide(rt) != NGX_OK) {
        ngx_http_ffi_event_drain();
    }

    if (rc == 0 && rt->state != NGX_HTTP_FFI_FAILED) {
        ngx_http_ffi_ready(rt);
        goto done;
    }

    bridge_queue_detach(rt->requests);

    *errlen = ngx_snprintf(err, room, "%V: libffi_init returned %d",
                           &load->lib, rc)
              - err;

    if (rt->state != NGX_HTTP_FFI_FAILED) {
        ngx_http_ffi_close(rt, NGX_HTTP_FFI_FAILED);
    }

    rt = NULL;

done:

    if (cfg.data) {
        ngx_free(cfg.data);
    }

    return rt;
}


/*
 * Nobody is asked for a report of the start any more; NGX_DECLINED where it
 * has been given already.
 */
static ngx_int_t
ngx_http_ffi_decide(ngx_http_ffi_runtime_t *rt)
{
    bridge_task_t  *start;

    start = bridge_task_find(bridge_host(),
                             atomic_exchange(&rt->requests->start, 0));
    if (start == NULL) {
        return NGX_DECLINED;
    }

    bridge_task_free(bridge_host(), start, 0);
    rt->reported = 1;

    return NGX_OK;
}


static ngx_http_ffi_runtime_t *
ngx_http_ffi_create(ngx_http_ffi_load_t *load, void *library)
{
    bridge_task_t           *start;
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_calloc(sizeof(ngx_http_ffi_runtime_t), ngx_cycle->log);
    if (rt == NULL) {
        return NULL;
    }

    ngx_queue_init(&rt->loaders);

    rt->load = *load;
    ngx_str_null(&rt->load.lib);
    ngx_str_null(&rt->load.cfg);

    if (ngx_http_ffi_dup(&rt->load.lib, load->lib.data, load->lib.len)
        != NGX_OK
        || ngx_http_ffi_dup(&rt->load.cfg, load->cfg.data, load->cfg.len)
           != NGX_OK)
    {
        goto failed;
    }

    start = bridge_task_new(bridge_host(), NULL, 0, NULL, 0);
    if (start == NULL) {
        goto failed;
    }

    rt->requests = bridge_queue_new(bridge_host(), load->max_queue);
    if (rt->requests == NULL) {
        bridge_task_free(bridge_host(), start, 0);
        goto failed;
    }

    rt->started.handler = ngx_http_ffi_start_answered;
    rt->state = NGX_HTTP_FFI_STARTING;
    rt->library = library;

    start->data = rt;
    bridge_task_lend(start);

    rt->requests->data = rt;
    rt->requests->spin = (uint32_t) load->spin;
    ngx_memcpy(rt->requests->options, load->options,
               sizeof(rt->requests->options));
    atomic_store(&rt->requests->start, bridge_task_handle(start));

    ngx_queue_insert_tail(&ngx_http_ffi_live, &rt->queue);

    return rt;

failed:

    ngx_http_ffi_free(rt);

    return NULL;
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_runtime_of(bridge_task_t *t)
{
    bridge_queue_t  *queue;

    queue = bridge_queue_find(bridge_host(), t->queue);

    return queue ? queue->data : NULL;
}


ngx_str_t
ngx_http_ffi_runtime_name(ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name;

    if (!atomic_load(&rt->requests->named)) {
        return rt->load.lib;
    }

    name.data = (u_char *) rt->requests->name;
    name.len = ngx_strlen(name.data);

    return name;
}


void
ngx_http_ffi_close(ngx_http_ffi_runtime_t *rt,
    ngx_http_ffi_state_e state)
{
    rt->state = state;
    ngx_http_ffi_detach(rt);

    ngx_http_ffi_wake_now();
    bridge_queue_close(rt->requests);

    ngx_queue_remove(&rt->queue);
    ngx_queue_insert_tail(&ngx_http_ffi_closing, &rt->queue);
}


/*
 * A queue is given back when nobody is in it; a library, where that was
 * asked for, when in addition each thread that polled has ended.
 */
static void
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
                          "lua ffi: dlclose() of \"%V\" failed: %s",
                          &rt->load.lib, dlerror());
        }

        ngx_queue_remove(&rt->queue);
        ngx_http_ffi_free(rt);
    }
}


void
ngx_http_ffi_threads_ended(void)
{
    ngx_uint_t               i;
    ngx_queue_t             *q, *lists[2];
    ngx_http_ffi_runtime_t  *rt;

    if (ngx_http_ffi_live.next == NULL) {
        return;
    }

    lists[0] = &ngx_http_ffi_live;
    lists[1] = &ngx_http_ffi_closing;

    for (i = 0; i < 2; i++) {
        for (q = ngx_queue_head(lists[i]);
             q != ngx_queue_sentinel(lists[i]);
             q = ngx_queue_next(q))
        {
            rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);
            ngx_http_ffi_check_threads(rt);
        }
    }
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

    ngx_http_ffi_exiting = 1;
    atomic_store(&bridge_host()->exiting, true);

    if (ngx_http_ffi_live.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&ngx_http_ffi_live)) {
        q = ngx_queue_head(&ngx_http_ffi_live);
        rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);
        ngx_http_ffi_close(rt, NGX_HTTP_FFI_UNLOADED);
    }

    /* libraries get the rest, to end and to tell what the stuck ones do */

    patience = ms - ngx_min(ms / 2, NGX_HTTP_FFI_LIBRARY_EXIT);

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
                      "lua ffi: %uD threads of runtimes have not ended "
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


ngx_int_t
ngx_http_ffi_dup(ngx_str_t *dst, u_char *data, size_t len)
{
    dst->data = ngx_alloc(len + 1, ngx_cycle->log);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    if (len) {
        ngx_memcpy(dst->data, data, len);
    }

    dst->data[len] = '\0';
    dst->len = len;

    return NGX_OK;
}


static void
ngx_http_ffi_free(ngx_http_ffi_runtime_t *rt)
{
    if (rt->load.lib.data) {
        ngx_free(rt->load.lib.data);
    }

    if (rt->load.cfg.data) {
        ngx_free(rt->load.cfg.data);
    }

    if (rt->err.data) {
        ngx_free(rt->err.data);
    }

    ngx_free(rt);
}
