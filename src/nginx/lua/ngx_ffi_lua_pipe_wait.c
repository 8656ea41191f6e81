/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_pipe_wait.h"
#include "ngx_http_ffi_event.h"


/* what a run waits for, and so what its limit is of */
enum {
    NGX_FFI_LUA_WAITS_NO_MORE = 0,
    NGX_FFI_LUA_WAITS_PART,
    NGX_FFI_LUA_WAITS_CLIENT,
    NGX_FFI_LUA_WAITS_TURN      /* limit_rate, or a request before it */
};


static ngx_uint_t ngx_ffi_lua_pipe_waits_for(ngx_ffi_lua_pipe_t *p);
static ngx_msec_t ngx_ffi_lua_pipe_bound(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_set_timer(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_expire(ngx_ffi_lua_pipe_t *p);


ngx_int_t
ngx_ffi_lua_pipe_wait(ngx_ffi_lua_pipe_t *p)
{
    off_t                      progress;
    ngx_msec_t                 ms;
    ngx_uint_t                 waits_for;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = p->outlet.request;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ngx_ffi_lua_outlet_active(&p->outlet)
        && ngx_handle_write_event(r->connection->write, clcf->send_lowat)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    waits_for = ngx_ffi_lua_pipe_waits_for(p);

    progress = r->connection->sent + p->outlet.bytes
               - ngx_ffi_lua_outlet_unsent(&p->outlet);

    if (waits_for != p->waits_for
        || (waits_for == NGX_FFI_LUA_WAITS_PART ? p->arrived
                                                : progress != p->progress))
    {
        p->waits_for = waits_for;
        p->progress = progress;

        ms = ngx_ffi_lua_pipe_bound(p);
        p->limit = ms ? ngx_current_msec + ms : 0;
    }

    p->arrived = 0;

    ngx_ffi_lua_pipe_set_timer(p);

    return NGX_OK;
}


static ngx_uint_t
ngx_ffi_lua_pipe_waits_for(ngx_ffi_lua_pipe_t *p)
{
    if (!ngx_ffi_lua_outlet_blocked(&p->outlet)) {
        return NGX_FFI_LUA_WAITS_PART;
    }

    if (ngx_ffi_lua_outlet_active(&p->outlet)
        && !p->outlet.request->connection->write->delayed)
    {
        return NGX_FFI_LUA_WAITS_CLIENT;
    }

    return NGX_FFI_LUA_WAITS_TURN;
}


static ngx_msec_t
ngx_ffi_lua_pipe_bound(ngx_ffi_lua_pipe_t *p)
{
    ngx_http_core_loc_conf_t  *clcf;

    switch (p->waits_for) {

    case NGX_FFI_LUA_WAITS_PART:
        return p->read_timeout;

    case NGX_FFI_LUA_WAITS_CLIENT:
        clcf = ngx_http_get_module_loc_conf(p->outlet.request,
                                            ngx_http_core_module);
        return clcf->send_timeout;

    default:
        return 0;
    }
}


/* one that comes too early sets itself again */
static void
ngx_ffi_lua_pipe_set_timer(ngx_ffi_lua_pipe_t *p)
{
    ngx_msec_t  at;

    at = p->limit;

    if (p->deadline && (at == 0 || p->deadline < at)) {
        at = p->deadline;
    }

    if (at == 0 || (p->timer.timer_set && p->timer.timer.key <= at)) {
        return;
    }

    ngx_add_timer(&p->timer,
                  at > ngx_current_msec ? at - ngx_current_msec : 1);
}


void
ngx_ffi_lua_pipe_timer(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_ffi_lua_pipe_t  *p;

    p = ev->data;
    c = p->outlet.request->connection;

    ngx_http_set_log_request(c->log, p->outlet.request);

    /* what is there wins against the deadline */

    ngx_http_ffi_event_drain();

    if (ngx_ffi_lua_pipe_runs(p) && !p->event.posted) {
        ngx_ffi_lua_pipe_expire(p);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_ffi_lua_pipe_expire(ngx_ffi_lua_pipe_t *p)
{
    ngx_connection_t  *c;

    if (p->deadline && p->deadline <= ngx_current_msec) {
        ngx_ffi_lua_pipe_fail(p, "timeout");
        return;
    }

    if (p->limit == 0 || p->limit > ngx_current_msec) {
        ngx_ffi_lua_pipe_set_timer(p);
        return;
    }

    if (p->waits_for == NGX_FFI_LUA_WAITS_PART) {

        if (p->stream && ngx_ffi_lua_stream_grows(p->stream)) {
            p->limit = ngx_current_msec + p->read_timeout;
            ngx_ffi_lua_pipe_set_timer(p);
            return;
        }

        ngx_ffi_lua_pipe_fail(p, "timeout");
        return;
    }

    c = p->outlet.request->connection;

    ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT, "client timed out");

    c->timedout = 1;
    c->error = 1;

    ngx_ffi_lua_pipe_fail(p, "client timed out");
}


void
ngx_ffi_lua_pipe_wait_no_more(ngx_ffi_lua_pipe_t *p)
{
    p->waits_for = NGX_FFI_LUA_WAITS_NO_MORE;

    if (p->timer.timer_set) {
        ngx_del_timer(&p->timer);
    }
}
