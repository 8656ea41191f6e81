/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <math.h>

#include "abi.h"
#include "end.h"
#include "ngx_http_ffi_load.h"
#include "ngx_http_ffi_pass_runtime.h"


#define NGX_HTTP_FFI_PASS_MAX_QUEUE  65536


/* has its task answered with the others that wait for a start */
typedef struct {
    ngx_http_ffi_caller_t   caller;     /* first: bridge_task_t.data */
    ngx_http_ffi_target_t  *target;
} ngx_http_ffi_watch_t;


static void ngx_http_ffi_target_watch(ngx_http_ffi_target_t *target,
    ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_target_answered(bridge_task_t *t);
static void ngx_http_ffi_target_log(ngx_http_ffi_target_t *target,
    ngx_log_t *log, ngx_str_t *why);
static void ngx_http_ffi_target_keep(ngx_http_ffi_target_t *target,
    ngx_str_t *why);


void
ngx_http_ffi_target_init(ngx_http_ffi_target_t *target, ngx_str_t *lib,
    ngx_str_t *cfg)
{
    ngx_uint_t            i;
    ngx_http_ffi_load_t  *load;

    load = &target->load;

    load->lib = *lib;
    target->name = *lib;

    if (cfg) {
        load->cfg = *cfg;
        load->has_cfg = 1;

    } else {
        ngx_str_set(&load->cfg, "");
    }

    load->max_queue = NGX_HTTP_FFI_PASS_MAX_QUEUE;
    load->max_request = NGX_MAX_INT32_VALUE;
    load->max_response = NGX_MAX_INT32_VALUE;
    load->timeout = NGX_CONF_UNSET_MSEC;

    for (i = 0; i < BRIDGE_QUEUE_OPTIONS; i++) {
        load->options[i] = NAN;
    }
}


void
ngx_http_ffi_target_start(ngx_http_ffi_target_t *target, ngx_log_t *log)
{
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_target_runtime(target, log);

    if (rt == NULL || target->settled == NULL) {
        return;
    }

    if (rt->state == NGX_HTTP_FFI_READY) {
        target->settled(target, 1);

    } else {
        ngx_http_ffi_target_watch(target, rt);
    }
}


/* where memory runs out, the first request hears how the start has ended */
static void
ngx_http_ffi_target_watch(ngx_http_ffi_target_t *target,
    ngx_http_ffi_runtime_t *rt)
{
    bridge_task_t         *t;
    ngx_http_ffi_watch_t  *w;

    t = bridge_task_new(bridge_host(), NULL, 0, NULL, 0);
    if (t == NULL) {
        return;
    }

    w = ngx_calloc(sizeof(ngx_http_ffi_watch_t), ngx_cycle->log);

    if (w) {
        w->caller.handler = ngx_http_ffi_target_answered;
        w->target = target;
        t->data = w;

        bridge_task_lend(t);

        if (ngx_http_ffi_loaders_add(&rt->loaders, t) == NGX_OK) {
            return;
        }

        ngx_free(w);
        t->data = NULL;
    }

    bridge_task_free(bridge_host(), t, 0);
}


static void
ngx_http_ffi_target_answered(bridge_task_t *t)
{
    ngx_str_t               why;
    ngx_http_ffi_watch_t   *w;
    ngx_http_ffi_target_t  *target;

    w = t->data;
    target = w->target;
    ngx_free(w);

    if (t->rc) {
        why.data = (u_char *) t->rsp;
        why.len = t->rsp ? t->rsp_len : 0;

        ngx_http_ffi_target_failed(target, ngx_cycle->log, &why);

    } else {
        target->settled(target, 1);
    }

    bridge_task_free(bridge_host(), t, 0);
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_target_runtime(ngx_http_ffi_target_t *target, ngx_log_t *log)
{
    size_t                   len;
    u_char                   err[NGX_HTTP_FFI_ERR_LEN];
    ngx_str_t                why;
    ngx_http_ffi_runtime_t  *rt;

    if (target->has_id) {
        rt = ngx_http_ffi_serving(target->id);
        if (rt) {
            return rt;
        }

        target->has_id = 0;
    }

    if (target->dead) {
        ngx_http_ffi_target_log(target, log, &target->why);
        return NULL;
    }

    if (target->failed == ngx_time()) {
        return NULL;
    }

    len = sizeof(err);

    rt = ngx_http_ffi_load(&target->load, err, &len);

    if (rt == NULL) {
        why.data = err;
        why.len = len;
        ngx_http_ffi_target_failed(target, log, &why);
        return NULL;
    }

    if (rt->state == NGX_HTTP_FFI_READY) {
        target->id = ngx_http_ffi_id(rt);
        target->has_id = 1;
    }

    return rt;
}


void
ngx_http_ffi_target_failed(ngx_http_ffi_target_t *target, ngx_log_t *log,
    ngx_str_t *why)
{
    static ngx_str_t  unknown = ngx_string("the library could not start");

    if (why->len == 0) {
        why = &unknown;
    }

    target->failed = ngx_time();

    ngx_http_ffi_target_log(target, log, why);

    if (target->dead) {
        return;
    }

    ngx_http_ffi_target_keep(target, why);

    if (target->settled) {
        target->dead = 1;
        target->settled(target, 0);
    }
}


void
ngx_http_ffi_target_hold(ngx_http_ffi_target_t *target, ngx_str_t *why)
{
    ngx_http_ffi_target_keep(target, why);
    target->dead = 1;
}


void
ngx_http_ffi_target_release(ngx_http_ffi_target_t *target)
{
    target->dead = 0;
}


static void
ngx_http_ffi_target_log(ngx_http_ffi_target_t *target, ngx_log_t *log,
    ngx_str_t *why)
{
    u_char     *end;
    ngx_str_t   line;

    if (!ngx_http_ffi_may_log(&target->said)) {
        return;
    }

    line = *why;
    end = ngx_strlchr(line.data, line.data + line.len, '\n');

    if (end) {
        line.len = end - line.data;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0, "FFI004: ffi: cannot load \"%V\": %V",
                  &target->name, &line);
}


/* the worker's, until it ends */
static void
ngx_http_ffi_target_keep(ngx_http_ffi_target_t *target, ngx_str_t *why)
{
    if (target->why.data) {
        ngx_free(target->why.data);
    }

    target->why.len = 0;
    target->why.data = ngx_alloc(why->len, ngx_cycle->log);

    if (target->why.data) {
        target->why.len = why->len;
        ngx_memcpy(target->why.data, why->data, why->len);
    }
}
