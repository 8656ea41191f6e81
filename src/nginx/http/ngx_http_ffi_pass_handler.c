/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_health.h"
#include "ngx_http_ffi_pass_answer.h"
#include "ngx_http_ffi_pass_body.h"
#include "ngx_http_ffi_pass_handler.h"
#include "ngx_http_ffi_pass_head.h"
#include "ngx_http_ffi_pass_hints.h"
#include "ngx_http_ffi_pass_page.h"
#include "ngx_http_ffi_pass_upgrade.h"
#include "ngx_http_ffi_status_account.h"
#include "resty_ffi.h"


static ngx_uint_t ngx_http_ffi_pass_is_below(ngx_str_t *uri,
    ngx_str_t *root_path);
static void ngx_http_ffi_pass_begin(ngx_http_request_t *r);
static void ngx_http_ffi_pass_start(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_not_loaded(ngx_http_ffi_pass_t *p);
static ngx_int_t ngx_http_ffi_pass_load(ngx_http_ffi_pass_t *p,
    ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_pass_loaded(ngx_event_t *ev);
static ngx_int_t ngx_http_ffi_pass_put(ngx_http_ffi_pass_t *p,
    ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_pass_log_full(ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_pass_log_unfit(ngx_http_request_t *r,
    ngx_http_ffi_target_t *target, const char *why);
static void ngx_http_ffi_pass_timer(ngx_event_t *ev);
static ngx_msec_t ngx_http_ffi_pass_left(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_expire(ngx_http_ffi_pass_t *p);


ngx_int_t
ngx_http_ffi_pass_handler(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    ngx_http_ffi_pass_t           *p;
    ngx_http_ffi_pass_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_ffi_pass_module);

    if (plcf->target == NULL) {
        return NGX_DECLINED;
    }

    if (!ngx_http_ffi_pass_is_below(&r->uri, &plcf->root_path)) {
        return NGX_HTTP_NOT_FOUND;
    }

    p = ngx_http_ffi_pass_new(r);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p->conf = plcf;
    p->target = plcf->target;
    p->timer.handler = ngx_http_ffi_pass_timer;

    rc = ngx_http_ffi_pass_body_read(p, ngx_http_ffi_pass_begin);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* "/api" has "/api" and "/api/x", and not "/apis" */
static ngx_uint_t
ngx_http_ffi_pass_is_below(ngx_str_t *uri, ngx_str_t *root_path)
{
    if (root_path->len == 0) {
        return 1;
    }

    return uri->len >= root_path->len
           && ngx_strncmp(uri->data, root_path->data, root_path->len) == 0
           && (uri->len == root_path->len
               || uri->data[root_path->len] == '/');
}


static void
ngx_http_ffi_pass_begin(ngx_http_request_t *r)
{
    ngx_http_ffi_pass_t  *p;

    p = ngx_http_ffi_pass_get(r);

    ngx_http_ffi_pass_body_begin(p);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_ffi_pass_start(p);
}


static void
ngx_http_ffi_pass_start(ngx_http_ffi_pass_t *p)
{
    ngx_int_t                rc;
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_target_runtime(p->target, p->request->connection->log);

    if (rt == NULL) {
        ngx_http_ffi_status_refused(NULL, NULL);
        ngx_http_ffi_pass_not_loaded(p);
        return;
    }

    rc = rt->state == NGX_HTTP_FFI_READY ? ngx_http_ffi_pass_put(p, rt)
                                         : ngx_http_ffi_pass_load(p, rt);

    if (rc != NGX_OK) {
        ngx_http_ffi_pass_finalize(p, rc);
    }
}


static void
ngx_http_ffi_pass_not_loaded(ngx_http_ffi_pass_t *p)
{
    ngx_http_ffi_pass_finalize(p, ngx_http_ffi_pass_page(p->request,
                                                         NGX_HTTP_BAD_GATEWAY,
                                                         &p->target->why));
}


/* NGX_OK, or a status: waits until rt has started */
static ngx_int_t
ngx_http_ffi_pass_load(ngx_http_ffi_pass_t *p, ngx_http_ffi_runtime_t *rt)
{
    bridge_task_t            *t;
    ngx_http_ffi_loc_conf_t  *flcf;

    t = bridge_task_new(bridge_host(), NULL, 0, NULL, 0);
    if (t == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    bridge_task_lend(t);

    if (ngx_http_ffi_loaders_add(&rt->loaders, t) != NGX_OK) {
        bridge_task_free(bridge_host(), t, 0);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    t->data = p;

    p->task = t;
    p->loading = 1;
    p->event.handler = ngx_http_ffi_pass_loaded;

    if (!p->feeding) {
        ngx_http_ffi_pass_watch(p);
    }

    flcf = ngx_http_get_module_loc_conf(p->request, ngx_http_ffi_module);
    ngx_http_ffi_pass_wait(p, flcf->load_timeout);

    return NGX_OK;
}


static void
ngx_http_ffi_pass_loaded(ngx_event_t *ev)
{
    ngx_int_t             failed;
    ngx_str_t             why;
    bridge_task_t        *t;
    ngx_connection_t     *c;
    ngx_http_ffi_pass_t  *p;

    p = ev->data;
    c = p->request->connection;

    ngx_http_set_log_request(c->log, p->request);

    t = p->task;
    failed = t->rc;

    if (failed) {
        why.data = (u_char *) t->rsp;
        why.len = t->rsp ? t->rsp_len : 0;

        ngx_http_ffi_target_failed(p->target, c->log, &why);
    }

    bridge_task_free(bridge_host(), t, 0);

    p->task = NULL;
    p->answered = 0;
    p->loading = 0;

    if (failed) {
        ngx_http_ffi_status_refused(NULL, NULL);
        ngx_http_ffi_pass_not_loaded(p);

    } else {
        ngx_http_ffi_pass_start(p);
    }

    ngx_http_run_posted_requests(c);
}


/* NGX_OK, or a status */
static ngx_int_t
ngx_http_ffi_pass_put(ngx_http_ffi_pass_t *p, ngx_http_ffi_runtime_t *rt)
{
    ngx_int_t                 rc;
    ngx_str_t                *method;
    uint32_t                  flags;
    const char               *unfit;
    bridge_task_t            *t;
    ngx_http_request_t       *r;
    ngx_http_ffi_loc_conf_t  *flcf;

    static ngx_str_t  other = ngx_string("other");

    r = p->request;
    method = r->method == NGX_HTTP_UNKNOWN ? &other : &r->method_name;

    if (bridge_queue_full(rt->requests)) {
        ngx_http_ffi_status_refused(rt, method);
        ngx_http_ffi_pass_log_full(r, rt);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    unfit = ngx_http_ffi_unfit(rt, p->conf->read_timeout);
    if (unfit) {
        ngx_http_ffi_status_refused(rt, method);
        ngx_http_ffi_pass_log_unfit(r, p->target, unfit);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    p->upgrade = atomic_load_explicit(&rt->requests->upgrades,
                                      memory_order_relaxed)
                 && ngx_http_ffi_pass_asks_for_upgrade(r);

    flags = NGX_HTTP_FFI_PASS_HINTS_FLAG;

    if (p->upgrade) {
        flags |= RESTY_FFI_UPGRADE;
    }

    t = ngx_http_ffi_pass_task(r, p->feeding, flags);
    if (t == NULL) {
        ngx_http_ffi_status_refused(rt, method);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ffi_status_put(rt, t, method);

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_ffi_module);
    bridge_stream_open(t, flcf->stream_buffer, p->feeding || p->upgrade);

    if (p->upgrade) {
        bridge_stream_offer_upgrade(t);
    }

    t->data = p;
    p->task = t;

    ngx_http_ffi_pass_expect(p);

    rc = ngx_http_ffi_pass_body_feed(p);

    if (rc != NGX_OK) {
        t->data = NULL;
        p->task = NULL;
        bridge_task_free(bridge_host(), t, 0);
        return rc;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ffi: request %uL put to runtime %p: %M ms",
                   bridge_task_id(t), rt, p->conf->read_timeout);

    (void) bridge_put(rt->requests, t);
    ngx_http_ffi_wake_later(&rt->wake);

    p->touched = ngx_current_msec;
    ngx_http_ffi_pass_wait(p, p->conf->read_timeout);

    return NGX_OK;
}


static void
ngx_http_ffi_pass_log_full(ngx_http_request_t *r, ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name;

    if (!ngx_http_ffi_may_log(&rt->full)) {
        return;
    }

    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "FFI001: ffi: "
                  "queue of \"%V\" is full (%uD requests): the runtime "
                  "is slower than its clients",
                  &name, rt->requests->limit);
}


static void
ngx_http_ffi_pass_log_unfit(ngx_http_request_t *r,
    ngx_http_ffi_target_t *target, const char *why)
{
    if (!ngx_http_ffi_may_log(&target->said)) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "FFI056: ffi: "
                  "\"%V\" takes no requests: %s", &target->name, why);
}


static void
ngx_http_ffi_pass_timer(ngx_event_t *ev)
{
    ngx_msec_t            left;
    ngx_connection_t     *c;
    ngx_http_ffi_pass_t  *p;

    p = ev->data;
    c = p->request->connection;

    ngx_http_set_log_request(c->log, p->request);

    /* what is there wins */

    ngx_http_ffi_event_drain();

    left = ngx_http_ffi_pass_left(p);

    if (left) {
        ngx_http_ffi_pass_wait(p, left);
        return;
    }

    if (p->upgraded) {
        ngx_http_ffi_pass_upgrade_expire(p);

    } else {
        ngx_http_ffi_pass_expire(p);
    }

    ngx_http_run_posted_requests(c);
}


/* until the time is over, as it seems now; 0: it is */
static ngx_msec_t
ngx_http_ffi_pass_left(ngx_http_ffi_pass_t *p)
{
    ngx_msec_t      ms;
    ngx_msec_int_t  left;

    ms = p->conf->read_timeout;

    if (p->answered || (ms == 0 && !p->loading)) {
        return NGX_MAX_INT32_VALUE;
    }

    if (p->loading) {
        return 0;
    }

    /* who waits for the client has other bounds */

    if (p->event.posted || ngx_http_ffi_pass_waits_for_client(p)) {
        return ms;
    }

    left = (ngx_msec_int_t) (p->touched + ms - ngx_current_msec);

    return left > 0 ? (ngx_msec_t) left : 0;
}


static void
ngx_http_ffi_pass_expire(ngx_http_ffi_pass_t *p)
{
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_runtime_of(p->task);

    if (rt && bridge_task_holder(p->task) == 0) {
        ngx_http_ffi_not_taken(rt, p->task);
    }

    ngx_log_error(NGX_LOG_ERR, p->request->connection->log, NGX_ETIMEDOUT,
                  "FFI057: ffi: \"%V\" has %s in time", &p->target->name,
                  p->loading ? "not started"
                  : p->head_sent ? "sent nothing more" : "sent no head");

    ngx_http_ffi_pass_fail(p, NGX_HTTP_GATEWAY_TIME_OUT);
}
