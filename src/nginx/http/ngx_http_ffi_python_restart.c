/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_http_ffi_python_restart.h"
#include "ngx_http_ffi_runtime.h"


/* seconds */
#define NGX_HTTP_FFI_PYTHON_MAX_DELAY  30
#define NGX_HTTP_FFI_PYTHON_MAX_SHIFT  5

/* ms between two looks whether a request is in progress */
#define NGX_HTTP_FFI_PYTHON_LOOK       100


static ngx_int_t ngx_http_ffi_python_zone_init(ngx_shm_zone_t *zone,
    void *data);
static ngx_atomic_t *ngx_http_ffi_python_failures(ngx_shm_zone_t *zone);
static void ngx_http_ffi_python_restart(ngx_event_t *ev);
static ngx_uint_t ngx_http_ffi_python_is_busy(void);


static ngx_event_t       ngx_http_ffi_python_event;
static ngx_connection_t  ngx_http_ffi_python_dumb;


ngx_shm_zone_t *
ngx_http_ffi_python_restart_zone(ngx_conf_t *cf, void *tag)
{
    ngx_shm_zone_t  *zone;

    static ngx_str_t  name = ngx_string("ngx_http_ffi_python");

    zone = ngx_shared_memory_add(cf, &name, 8 * ngx_pagesize, tag);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = ngx_http_ffi_python_zone_init;
    zone->noreuse = 1;

    return zone;
}


static ngx_int_t
ngx_http_ffi_python_zone_init(ngx_shm_zone_t *zone, void *data)
{
    (void) data;

    zone->data = ngx_slab_calloc((ngx_slab_pool_t *) zone->shm.addr,
                                 NGX_MAX_PROCESSES * sizeof(ngx_atomic_t));

    return zone->data ? NGX_OK : NGX_ERROR;
}


/* of this worker, and those before it */
static ngx_atomic_t *
ngx_http_ffi_python_failures(ngx_shm_zone_t *zone)
{
    return (ngx_atomic_t *) zone->data + ngx_worker % NGX_MAX_PROCESSES;
}


void
ngx_http_ffi_python_started(ngx_shm_zone_t *zone)
{
    *ngx_http_ffi_python_failures(zone) = 0;
}


void
ngx_http_ffi_python_not_started(ngx_shm_zone_t *zone)
{
    ngx_msec_t         delay;
    ngx_event_t       *ev;
    ngx_atomic_uint_t  failures;

    ev = &ngx_http_ffi_python_event;

    if (ngx_process != NGX_PROCESS_WORKER
        || ngx_exiting
        || ev->timer_set
        || !ngx_queue_empty(&ngx_http_ffi_live))
    {
        return;
    }

    failures = (*ngx_http_ffi_python_failures(zone))++;

    delay = ngx_http_ffi_python_delay(failures);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "FFI058: ffi: "
                  "no application has started: a fresh worker tries "
                  "again in %M s", delay);

    ngx_http_ffi_python_dumb.fd = (ngx_socket_t) -1;

    ev->handler = ngx_http_ffi_python_restart;
    ev->data = &ngx_http_ffi_python_dumb;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, delay * 1000);
}


ngx_msec_t
ngx_http_ffi_python_delay(ngx_uint_t failures)
{
    return failures < NGX_HTTP_FFI_PYTHON_MAX_SHIFT
           ? (ngx_msec_t) 1 << failures : NGX_HTTP_FFI_PYTHON_MAX_DELAY;
}


static void
ngx_http_ffi_python_restart(ngx_event_t *ev)
{
    /* Lua code may have loaded something meanwhile */

    if (ngx_exiting || !ngx_queue_empty(&ngx_http_ffi_live)) {
        return;
    }

    if (ngx_http_ffi_python_is_busy()) {
        ngx_add_timer(ev, NGX_HTTP_FFI_PYTHON_LOOK);
        return;
    }

    ngx_quit = 1;
}


/*
 * The master starts another worker only when this one has ended, which takes
 * as long as its clients do.
 */
static ngx_uint_t
ngx_http_ffi_python_is_busy(void)
{
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = ngx_cycle->connections;

    for (i = 0; i < ngx_cycle->connection_n; i++) {
        if (c[i].fd != (ngx_socket_t) -1
            && c[i].listening
            && !c[i].read->accept
            && !c[i].idle)
        {
            return 1;
        }
    }

    return 0;
}
