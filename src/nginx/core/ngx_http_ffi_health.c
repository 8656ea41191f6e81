/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "abi.h"
#include "ngx_http_ffi_health.h"
#include "ngx_http_ffi_library.h"


/* a handler may take longer than callers with a short deadline wait */
#define NGX_HTTP_FFI_STUCK_AFTER  1000


/* a short queue does not mean that calls are few */
#define NGX_HTTP_FFI_MIN_UNANSWERED  1024


static void ngx_http_ffi_log_unanswered(ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_stuck(ngx_http_ffi_runtime_t *rt);


const char *
ngx_http_ffi_unfit(ngx_http_ffi_runtime_t *rt, ngx_msec_t ms)
{
    uint32_t    taken;
    ngx_msec_t  idle;

    if (bridge_queue_orphaned(rt->requests)) {
        return "the runtime has ended";
    }

    rt->orphaned = 0;

    if (bridge_queue_cancelled(rt->requests)
        >= ngx_max(rt->requests->limit, NGX_HTTP_FFI_MIN_UNANSWERED))
    {
        ngx_http_ffi_log_unanswered(rt);
        return "too many calls without an answer";
    }

    taken = bridge_queue_taken(rt->requests);

    if (taken != rt->taken || bridge_queue_len(rt->requests) == 0) {
        rt->taken = taken;
        rt->waits_since = ngx_current_msec;
        rt->stuck = 0;

        return NULL;
    }

    idle = ngx_current_msec - rt->waits_since;

    if (ms == 0
        || idle < ngx_max(ms, NGX_HTTP_FFI_STUCK_AFTER)
        || bridge_queue_active(rt->requests))
    {
        return NULL;
    }

    ngx_http_ffi_stuck(rt);

    return "the runtime is stuck";
}


static void
ngx_http_ffi_log_unanswered(ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name;

    if (!ngx_http_ffi_may_log(&rt->unanswered)) {
        return;
    }

    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "FFI005: lua ffi: "
                  "\"%V\" has not answered %uD calls whose callers "
                  "have given up: further ones fail until it does; it must "
                  "answer each call that it takes",
                  &name, bridge_queue_cancelled(rt->requests));
}


void
ngx_http_ffi_not_taken(ngx_http_ffi_runtime_t *rt, bridge_task_t *t)
{
    if (t->taken == bridge_queue_taken(rt->requests)
        && ngx_current_msec - rt->waits_since >= NGX_HTTP_FFI_STUCK_AFTER
        && !bridge_queue_active(rt->requests))
    {
        ngx_http_ffi_stuck(rt);
    }
}


/* once each time */
static void
ngx_http_ffi_stuck(ngx_http_ffi_runtime_t *rt)
{
    void       *tq;
    ngx_str_t   name;

    if (rt->stuck) {
        return;
    }

    rt->stuck = 1;
    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "FFI006: lua ffi: "
                  "\"%V\" is stuck: calls wait, and no thread has "
                  "taken one for %M ms; further ones fail at once until one "
                  "is taken; rt:__reload() makes a fresh runtime",
                  &name, ngx_current_msec - rt->waits_since);

    tq = (void *) (uintptr_t) bridge_queue_handle(rt->requests);

    ngx_http_ffi_library_report(rt->library, tq);
}
