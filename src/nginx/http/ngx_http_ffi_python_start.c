/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_http_ffi_python_restart.h"
#include "ngx_http_ffi_python_start.h"
#include "ngx_http_ffi_python_target.h"
#include "ngx_http_ffi_runtime.h"


/* a byte for each application of each worker */
#define NGX_HTTP_FFI_PYTHON_STARTS   0x80
#define NGX_HTTP_FFI_PYTHON_CRASHES  0x7f


static ngx_int_t ngx_http_ffi_python_starts_init(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_ffi_python_begin(ngx_http_ffi_target_t *target);
static void ngx_http_ffi_python_settled(ngx_http_ffi_target_t *target,
    ngx_uint_t started);
static void ngx_http_ffi_python_start(ngx_http_ffi_python_target_t *target);
static void ngx_http_ffi_python_hold(ngx_http_ffi_python_target_t *target,
    ngx_uint_t crashes);
static void ngx_http_ffi_python_wait(void);
static void ngx_http_ffi_python_next(ngx_event_t *ev);
static u_char *ngx_http_ffi_python_byte(ngx_http_ffi_python_target_t *target);


/* of this worker; the first of those held is the next that starts */
static ngx_queue_t       ngx_http_ffi_python_held = {
    &ngx_http_ffi_python_held, &ngx_http_ffi_python_held
};
static ngx_uint_t        ngx_http_ffi_python_starting;
static ngx_event_t       ngx_http_ffi_python_event;
static ngx_connection_t  ngx_http_ffi_python_dumb;


ngx_int_t
ngx_http_ffi_python_starts(ngx_conf_t *cf, ngx_array_t *targets, void *tag)
{
    size_t                          size;
    ngx_uint_t                      i;
    ngx_shm_zone_t                 *starts, *restarts;
    ngx_http_ffi_python_target_t  **all;

    static ngx_str_t  name = ngx_string("ngx_http_ffi_python_starts");

    if (targets->nelts == 0) {
        return NGX_OK;
    }

    size = targets->nelts * NGX_MAX_PROCESSES;

    starts = ngx_shared_memory_add(cf, &name,
                                   ngx_align(size, ngx_pagesize)
                                   + 8 * ngx_pagesize, tag);
    restarts = ngx_http_ffi_python_restart_zone(cf, tag);

    if (starts == NULL || restarts == NULL) {
        return NGX_ERROR;
    }

    starts->init = ngx_http_ffi_python_starts_init;
    starts->data = targets;
    starts->noreuse = 1;

    all = (ngx_http_ffi_python_target_t **) targets->elts;

    for (i = 0; i < targets->nelts; i++) {
        all[i]->pass.begin = ngx_http_ffi_python_begin;
        all[i]->pass.settled = ngx_http_ffi_python_settled;
        all[i]->starts = starts;
        all[i]->restarts = restarts;
        all[i]->n = i;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_python_starts_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_array_t  *targets = zone->data;

    (void) data;

    zone->data = ngx_slab_calloc((ngx_slab_pool_t *) zone->shm.addr,
                                 targets->nelts * NGX_MAX_PROCESSES);

    return zone->data ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_ffi_python_begin(ngx_http_ffi_target_t *target)
{
    u_char                        *byte;
    ngx_uint_t                     crashes;
    ngx_http_ffi_python_target_t  *app;

    app = (ngx_http_ffi_python_target_t *) target;
    byte = ngx_http_ffi_python_byte(app);

    crashes = *byte & NGX_HTTP_FFI_PYTHON_CRASHES;

    if (*byte & NGX_HTTP_FFI_PYTHON_STARTS) {
        crashes = ngx_min(crashes + 1, NGX_HTTP_FFI_PYTHON_CRASHES);
    }

    *byte = (u_char) crashes;

    if (crashes) {
        ngx_http_ffi_python_hold(app, crashes);

    } else {
        ngx_http_ffi_python_start(app);
    }
}


static void
ngx_http_ffi_python_settled(ngx_http_ffi_target_t *target, ngx_uint_t started)
{
    u_char                        *byte;
    ngx_http_ffi_python_target_t  *app;

    /* a start that is cut short may be what ends this worker */

    if (!started && (ngx_terminate || ngx_exiting)) {
        return;
    }

    app = (ngx_http_ffi_python_target_t *) target;
    byte = ngx_http_ffi_python_byte(app);

    if (*byte & NGX_HTTP_FFI_PYTHON_STARTS) {
        *byte = 0;
        ngx_http_ffi_python_starting--;
    }

    if (started) {
        ngx_http_ffi_python_started(app->restarts);

    } else {
        ngx_http_ffi_python_not_started(app->restarts);
    }

    ngx_http_ffi_python_wait();
}


static void
ngx_http_ffi_python_start(ngx_http_ffi_python_target_t *target)
{
    *ngx_http_ffi_python_byte(target) |= NGX_HTTP_FFI_PYTHON_STARTS;
    ngx_http_ffi_python_starting++;

    ngx_http_ffi_target_start(&target->pass, ngx_cycle->log);
}


static void
ngx_http_ffi_python_hold(ngx_http_ffi_python_target_t *target,
    ngx_uint_t crashes)
{
    ngx_msec_t                     delay;
    ngx_queue_t                   *q;
    ngx_http_ffi_python_target_t  *next;

    static ngx_str_t  why = ngx_string("it was starting when an earlier "
                                       "worker ended");

    delay = ngx_http_ffi_python_delay(crashes - 1);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "FFI062: ffi: \"%V\" was starting when the worker before "
                  "this one ended, %ui in a row: it starts again in %M s",
                  &target->pass.name, crashes, delay);

    ngx_http_ffi_target_hold(&target->pass, &why);

    target->begins = ngx_current_msec + delay * 1000;

    for (q = ngx_queue_head(&ngx_http_ffi_python_held);
         q != ngx_queue_sentinel(&ngx_http_ffi_python_held);
         q = ngx_queue_next(q))
    {
        next = ngx_queue_data(q, ngx_http_ffi_python_target_t, queue);

        if ((ngx_msec_int_t) (next->begins - target->begins) > 0) {
            break;
        }
    }

    ngx_queue_insert_tail(q, &target->queue);

    ngx_http_ffi_python_wait();
}


/* until the first of those held may start, and nothing else does */
static void
ngx_http_ffi_python_wait(void)
{
    ngx_queue_t                   *q;
    ngx_event_t                   *ev;
    ngx_msec_int_t                 ms;
    ngx_http_ffi_python_target_t  *target;

    ev = &ngx_http_ffi_python_event;

    if (ngx_http_ffi_python_starting
        || ngx_queue_empty(&ngx_http_ffi_python_held))
    {
        return;
    }

    q = ngx_queue_head(&ngx_http_ffi_python_held);
    target = ngx_queue_data(q, ngx_http_ffi_python_target_t, queue);

    ms = (ngx_msec_int_t) (target->begins - ngx_current_msec);

    ngx_http_ffi_python_dumb.fd = (ngx_socket_t) -1;

    ev->handler = ngx_http_ffi_python_next;
    ev->data = &ngx_http_ffi_python_dumb;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, (ngx_msec_t) ngx_max(ms, 1));
}


static void
ngx_http_ffi_python_next(ngx_event_t *ev)
{
    ngx_queue_t                   *q;
    ngx_http_ffi_python_target_t  *target;

    (void) ev;

    /* one that begins with the worker may have come behind the timer */

    if (ngx_exiting || ngx_http_ffi_python_starting) {
        return;
    }

    q = ngx_queue_head(&ngx_http_ffi_python_held);
    target = ngx_queue_data(q, ngx_http_ffi_python_target_t, queue);

    ngx_queue_remove(q);

    if (*ngx_http_ffi_python_byte(target) > 1
        && !ngx_queue_empty(&ngx_http_ffi_live))
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "FFI063: ffi: \"%V\" is not started again before a "
                      "reload: it would end what else this worker serves",
                      &target->pass.name);

        ngx_http_ffi_python_wait();
        return;
    }

    ngx_http_ffi_target_release(&target->pass);
    ngx_http_ffi_python_start(target);
}


/* of this worker, and those before it */
static u_char *
ngx_http_ffi_python_byte(ngx_http_ffi_python_target_t *target)
{
    return (u_char *) target->starts->data + target->n * NGX_MAX_PROCESSES
           + ngx_worker % NGX_MAX_PROCESSES;
}
