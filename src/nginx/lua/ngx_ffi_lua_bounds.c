/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_bounds.h"


enum {
    NGX_FFI_LUA_WAITS_NO_MORE = 0,
    NGX_FFI_LUA_WAITS_PART,
    NGX_FFI_LUA_WAITS_CLIENT,
    NGX_FFI_LUA_WAITS_TURN      /* limit_rate, or a request before it */
};


static ngx_uint_t ngx_ffi_lua_waits_for(ngx_http_ffi_outlet_t *o);
static ngx_msec_t ngx_ffi_lua_bound(ngx_ffi_lua_bounds_t *b);
static void ngx_ffi_lua_bounds_set_timer(ngx_ffi_lua_bounds_t *b);


void
ngx_ffi_lua_bounds_set(ngx_ffi_lua_bounds_t *b)
{
    off_t                   progress;
    ngx_msec_t              ms;
    ngx_uint_t              waits_for;
    ngx_http_ffi_outlet_t  *o;

    o = b->outlet;

    waits_for = ngx_ffi_lua_waits_for(o);
    progress = o->request->connection->sent + o->bytes
               - ngx_http_ffi_outlet_unsent(o);

    if (waits_for != b->waits_for
        || (waits_for == NGX_FFI_LUA_WAITS_PART ? b->arrived
                                                : progress != b->progress))
    {
        b->waits_for = waits_for;
        b->progress = progress;

        ms = ngx_ffi_lua_bound(b);
        b->limit = ms ? ngx_current_msec + ms : 0;
    }

    b->arrived = 0;

    ngx_ffi_lua_bounds_set_timer(b);
}


static ngx_uint_t
ngx_ffi_lua_waits_for(ngx_http_ffi_outlet_t *o)
{
    if (!ngx_http_ffi_outlet_blocked(o)) {
        return NGX_FFI_LUA_WAITS_PART;
    }

    if (ngx_http_ffi_outlet_active(o)
        && !o->request->connection->write->delayed)
    {
        return NGX_FFI_LUA_WAITS_CLIENT;
    }

    return NGX_FFI_LUA_WAITS_TURN;
}


static ngx_msec_t
ngx_ffi_lua_bound(ngx_ffi_lua_bounds_t *b)
{
    ngx_http_core_loc_conf_t  *clcf;

    switch (b->waits_for) {

    case NGX_FFI_LUA_WAITS_PART:
        return b->read_timeout;

    case NGX_FFI_LUA_WAITS_CLIENT:
        clcf = ngx_http_get_module_loc_conf(b->outlet->request,
                                            ngx_http_core_module);
        return clcf->send_timeout;

    default:
        return 0;
    }
}


/* one that comes too early sets itself again */
static void
ngx_ffi_lua_bounds_set_timer(ngx_ffi_lua_bounds_t *b)
{
    ngx_msec_t  at;

    at = b->limit;

    if (b->deadline && (at == 0 || b->deadline < at)) {
        at = b->deadline;
    }

    if (at == 0 || (b->timer.timer_set && b->timer.timer.key <= at)) {
        return;
    }

    ngx_add_timer(&b->timer,
                  at > ngx_current_msec ? at - ngx_current_msec : 1);
}


const char *
ngx_ffi_lua_bounds_passed(ngx_ffi_lua_bounds_t *b)
{
    ngx_connection_t  *c;

    if (b->deadline && b->deadline <= ngx_current_msec) {
        return "timeout";
    }

    if (b->limit == 0 || b->limit > ngx_current_msec) {
        ngx_ffi_lua_bounds_set_timer(b);
        return NULL;
    }

    if (b->waits_for == NGX_FFI_LUA_WAITS_PART) {
        return "timeout";
    }

    c = b->outlet->request->connection;

    ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT, "client timed out");

    c->timedout = 1;
    c->error = 1;

    return "client timed out";
}


void
ngx_ffi_lua_bounds_clear(ngx_ffi_lua_bounds_t *b)
{
    b->waits_for = NGX_FFI_LUA_WAITS_NO_MORE;

    if (b->timer.timer_set) {
        ngx_del_timer(&b->timer);
    }
}
