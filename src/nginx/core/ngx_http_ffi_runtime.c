/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>

#include "abi.h"
#include "end.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_runtime.h"


typedef struct {
    ngx_http_ffi_state_e       next;    /* 0: the event is not expected */
    void                     (*action)(ngx_http_ffi_runtime_t *rt,
                                       ngx_str_t *why);
} ngx_http_ffi_arrow_t;


static void ngx_http_ffi_serve(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);
static void ngx_http_ffi_fail(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);
static void ngx_http_ffi_detach(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);
static void ngx_http_ffi_close(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);
static void ngx_http_ffi_reject(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);
static void ngx_http_ffi_orphan(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);
static void ngx_http_ffi_free(ngx_http_ffi_runtime_t *rt, ngx_str_t *why);

static ngx_http_ffi_runtime_t *ngx_http_ffi_create(ngx_http_ffi_load_t *load,
    void *library);
static ngx_int_t ngx_http_ffi_decide(ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_start_answered(bridge_task_t *t);
static ngx_int_t ngx_http_ffi_dup(ngx_str_t *dst, u_char *data, size_t len);


ngx_queue_t  ngx_http_ffi_live = {
    &ngx_http_ffi_live, &ngx_http_ffi_live
};

ngx_queue_t  ngx_http_ffi_closing = {
    &ngx_http_ffi_closing, &ngx_http_ffi_closing
};


/* an event that leads to a state, by an action or NULL */
#define ON(event, state, action)                                              \
    [NGX_HTTP_FFI_##event] = { NGX_HTTP_FFI_##state, action }

static const ngx_http_ffi_arrow_t
    ngx_http_ffi_arrows[NGX_HTTP_FFI_NSTATES][NGX_HTTP_FFI_NEVENTS] = {

    [NGX_HTTP_FFI_STARTING] = {

        /* takes calls, in the place of the one that it replaces */
        ON(STARTED,       READY,     ngx_http_ffi_serve),

        /* who waits for it is told why; the one to replace serves on */
        ON(START_FAILED,  FAILED,    ngx_http_ffi_fail),
        ON(INIT_FAILED,   FAILED,    ngx_http_ffi_fail),

        /* the same, but its threads, which start still, are to hear of it */
        ON(UNLOAD,        UNLOADED,  ngx_http_ffi_close),

        /* other threads may take calls when it has started */
        ON(ORPHANED,      STARTING,  ngx_http_ffi_reject),
    },

    [NGX_HTTP_FFI_READY] = {

        /* the library has reported it in libffi_init, or after it */
        ON(STARTED,       READY,     NULL),

        /* likewise, but libffi_init has said otherwise, and decides */
        ON(START_FAILED,  READY,     ngx_http_ffi_detach),
        ON(INIT_FAILED,   FAILED,    ngx_http_ffi_fail),

        /* by Lua code, by one that replaces it, or by the worker's exit */
        ON(UNLOAD,        UNLOADED,  ngx_http_ffi_close),

        /* calls fail, until another thread polls; error.log says so */
        ON(ORPHANED,      READY,     ngx_http_ffi_orphan),
    },

    [NGX_HTTP_FFI_FAILED] = {

        /* reported after libffi_init has failed */
        ON(STARTED,       FAILED,    NULL),
        ON(START_FAILED,  FAILED,    ngx_http_ffi_detach),

        /* libffi_init returns after a failure has been reported */
        ON(INIT_FAILED,   FAILED,    ngx_http_ffi_detach),

        /* what was put before the end */
        ON(ORPHANED,      FAILED,    ngx_http_ffi_reject),

        /* nothing of it is in use */
        ON(RELEASE,       RELEASED,  ngx_http_ffi_free),
    },

    [NGX_HTTP_FFI_UNLOADED] = {

        /* a start that was under way has ended */
        ON(STARTED,       UNLOADED,  NULL),
        ON(START_FAILED,  UNLOADED,  ngx_http_ffi_detach),

        /* what was put before the end */
        ON(ORPHANED,      UNLOADED,  ngx_http_ffi_reject),

        /* nothing of it is in use */
        ON(RELEASE,       RELEASED,  ngx_http_ffi_free),
    },
};


#if (NGX_DEBUG)

static const char *const  ngx_http_ffi_states[] = {
    "", "STARTING", "READY", "FAILED", "UNLOADED", "RELEASED"
};

static const char *const  ngx_http_ffi_events[] = {
    "started", "start failed", "init failed", "unload", "orphaned", "release"
};

#endif


void
ngx_http_ffi_runtime_event(ngx_http_ffi_runtime_t *rt,
    ngx_http_ffi_runtime_event_e event, ngx_str_t *why)
{
    const ngx_http_ffi_arrow_t  *arrow;

    arrow = &ngx_http_ffi_arrows[rt->state][event];

    ngx_log_debug5(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: runtime %p \"%V\": %s: %s -> %s",
                   rt, &rt->load.lib, ngx_http_ffi_events[event],
                   ngx_http_ffi_states[rt->state],
                   arrow->next ? ngx_http_ffi_states[arrow->next]
                               : "unexpected");

    if (arrow->next == 0) {
        return;
    }

    rt->state = arrow->next;

    if (arrow->action) {
        arrow->action(rt, why);
    }
}


static void
ngx_http_ffi_serve(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    ngx_http_ffi_runtime_t  *old;

    (void) why;

    old = ngx_http_ffi_registry_replace(rt->entry, rt, &rt->load,
                                        rt->library);
    if (old) {
        ngx_http_ffi_runtime_event(old, NGX_HTTP_FFI_UNLOAD, NULL);
    }

    ngx_http_ffi_check_threads(rt);
    ngx_http_ffi_loaders_answer(&rt->loaders, 0, &rt->err);
}


static void
ngx_http_ffi_fail(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    bridge_queue_detach(rt->requests);
    ngx_http_ffi_close(rt, why);
}


static void
ngx_http_ffi_detach(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    (void) why;

    bridge_queue_detach(rt->requests);
}


/* what waits in the queue is answered, then its pollers see NULL */
static void
ngx_http_ffi_close(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    if (why
        && why->data
        && ngx_http_ffi_dup(&rt->err, why->data, why->len) != NGX_OK)
    {
        ngx_str_null(&rt->err);
    }

    ngx_http_ffi_registry_remove(rt->entry, rt);

    ngx_http_ffi_wake_now();
    bridge_queue_close(rt->requests);

    ngx_queue_remove(&rt->queue);
    ngx_queue_insert_tail(&ngx_http_ffi_closing, &rt->queue);

    ngx_http_ffi_loaders_answer(&rt->loaders, 1, &rt->err);
}


static void
ngx_http_ffi_reject(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    (void) why;

    (void) bridge_queue_reject(bridge_host(), rt->requests);
}


static void
ngx_http_ffi_orphan(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    uint32_t   n;
    ngx_str_t  name;

    (void) why;

    n = bridge_queue_reject(bridge_host(), rt->requests);

    if (rt->orphaned) {
        return;
    }

    rt->orphaned = 1;
    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "FFI007: lua ffi: every thread that took calls of \"%V\" has "
                  "ended: %uD calls that waited have failed, and further "
                  "ones do at once; see what ended its poll loop, an "
                  "exception perhaps; rt:__reload() makes a fresh runtime",
                  &name, n);
}


static void
ngx_http_ffi_free(ngx_http_ffi_runtime_t *rt, ngx_str_t *why)
{
    (void) why;

    ngx_http_ffi_wake_cancel(&rt->wake);

    ngx_free(rt->load.lib.data);
    ngx_free(rt->load.cfg.data);
    ngx_free(rt->err.data);
    ngx_free(rt);
}


void
ngx_http_ffi_kicked(bridge_queue_t *q)
{
    ngx_http_ffi_runtime_t  *rt;

    rt = q->data;
    ngx_http_ffi_wake_later(&rt->wake);
}


void
ngx_http_ffi_check_threads(ngx_http_ffi_runtime_t *rt)
{
    if (bridge_queue_orphaned(rt->requests)) {
        ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_ORPHANED, NULL);
    }
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
        goto started;
    }

    rt->entry = entry;
    ngx_http_ffi_registry_add(entry, rt, &rt->load, library);

    tq = (void *) (uintptr_t) bridge_queue_handle(rt->requests);

    rc = init((char *) cfg.data, tq);

    /* it may have kicked, before nginx's loop has begun */

    ngx_http_ffi_wake_now();

    if (rc == 0 && ngx_http_ffi_library_async(library)) {
        goto started;
    }

    if (ngx_http_ffi_decide(rt) != NGX_OK) {
        ngx_http_ffi_event_drain();
    }

    if (rc == 0 && rt->state != NGX_HTTP_FFI_FAILED) {
        ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_STARTED, NULL);
        goto started;
    }

    *errlen = ngx_snprintf(err, room, "%V: libffi_init returned %d",
                           &load->lib, rc)
              - err;

    ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_INIT_FAILED, NULL);

    rt = NULL;

started:

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

    rt->wake.requests = rt->requests;

    rt->requests->data = rt;
    rt->requests->spin = (uint32_t) load->spin;
    ngx_memcpy(rt->requests->options, load->options,
               sizeof(rt->requests->options));
    atomic_store(&rt->requests->start, bridge_task_handle(start));

    ngx_queue_insert_tail(&ngx_http_ffi_live, &rt->queue);

    return rt;

failed:

    ngx_http_ffi_free(rt, NULL);

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


static void
ngx_http_ffi_start_answered(bridge_task_t *t)
{
    ngx_str_t                why;
    ngx_http_ffi_runtime_t  *rt;

    rt = t->data;
    rt->reported = 1;

    if (t->rc == 0) {
        ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_STARTED, NULL);

    } else {
        why.data = (u_char *) t->rsp;
        why.len = t->rsp_len;

        ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_START_FAILED, &why);
    }

    bridge_task_free(bridge_host(), t, 0);
}


static ngx_int_t
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
