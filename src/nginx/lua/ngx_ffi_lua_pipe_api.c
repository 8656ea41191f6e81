/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_ffi_lua_pipe.h"
#include "ngx_ffi_lua_pipe_api.h"
#include "ngx_http_ffi_runtime.h"


static int ngx_ffi_lua_pipe_prepare(lua_State *L, ngx_http_request_t *r);
static int ngx_ffi_lua_pipe_begin(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r);
static const char *ngx_ffi_lua_may_pipe(ngx_ffi_lua_pipe_t *p);
static ngx_uint_t ngx_ffi_lua_pipe_is_over(ngx_ffi_lua_pipe_t *p);
static int ngx_ffi_lua_pipe_result(lua_State *L, ngx_ffi_lua_pipe_t *p);
static int ngx_ffi_lua_pipe_refused(lua_State *L, const char *why);


int
ngx_ffi_lua_core_stream_pipe(lua_State *L)
{
    ngx_http_request_t    *r;
    ngx_ffi_lua_pipe_t    *p;
    ngx_ffi_lua_stream_t  *s;

    s = ngx_ffi_lua_stream_check(L, 1);
    r = ngx_http_lua_get_request(L);

    if (lua_toboolean(L, 3)) {
        return ngx_ffi_lua_pipe_prepare(L, r);
    }

    if (!lua_toboolean(L, 2)) {
        return ngx_ffi_lua_pipe_begin(L, s, r);
    }

    p = ngx_ffi_lua_get_pipe(r, 0);

    if (p == NULL || p->sema == NULL) {
        return ngx_ffi_lua_pipe_refused(L, "the client has gone");
    }

    if (ngx_ffi_lua_sema_waits(p->sema)) {
        return lua_yield(L, 0);
    }

    if (p->running) {
        ngx_ffi_lua_pipe_fail(p, p->sema->ended ? p->sema->ended : "timeout");
    }

    return ngx_ffi_lua_pipe_result(L, p);
}


/* what a run takes, while the response may still be another */
static int
ngx_ffi_lua_pipe_prepare(lua_State *L, ngx_http_request_t *r)
{
    if (ngx_ffi_lua_get_pipe(r, 1) == NULL
        || ngx_ffi_lua_sema_reserve() != NGX_OK)
    {
        return ngx_ffi_lua_pipe_refused(L, "no memory");
    }

    ngx_ffi_lua_push_mark(L);
    lua_pushboolean(L, 1);

    return 2;
}


static int
ngx_ffi_lua_pipe_begin(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r)
{
    size_t               len;
    u_char               err[NGX_HTTP_FFI_ERR_LEN];
    const char          *why;
    ngx_ffi_lua_pipe_t  *p;

    why = ngx_ffi_lua_stream_may_read(s, r);
    if (why) {
        return ngx_ffi_lua_pipe_refused(L, why);
    }

    /* a header filter in Lua may have closed it, or read it to its end */

    if (s->task == NULL && s->closed) {
        return ngx_ffi_lua_pipe_refused(L, s->closed);
    }

    if (s->task == NULL || r->header_only) {
        ngx_ffi_lua_stream_close(s, "closed");
        ngx_ffi_lua_push_mark(L);
        lua_pushinteger(L, 0);
        return 2;
    }

    p = ngx_ffi_lua_get_pipe(r, 1);

    why = p ? ngx_ffi_lua_may_pipe(p) : "no memory";
    if (why) {
        return ngx_ffi_lua_pipe_refused(L, why);
    }

    len = sizeof(err);

    if (ngx_ffi_lua_can_wait(L, r, err, &len) != NGX_OK) {
        ngx_ffi_lua_push_mark(L);
        return 1 + ngx_ffi_lua_fail(L, err, len);
    }

    if (ngx_ffi_lua_pipe_run(p, s)) {

        p->sema = ngx_ffi_lua_sema_wait(L, r, 0, err, &len);

        if (p->sema) {
            return lua_yield(L, 0);
        }

        ngx_ffi_lua_pipe_fail(p, "shutting down");
    }

    return ngx_ffi_lua_pipe_result(L, p);
}


static const char *
ngx_ffi_lua_may_pipe(ngx_ffi_lua_pipe_t *p)
{
    ngx_http_request_t  *r;

    r = p->outlet.request;

    if (ngx_ffi_lua_pipe_runs(p) || !ngx_ffi_lua_pipe_is_over(p)) {
        return "busy piping";
    }

    if (p->outlet.broken) {
        return "the response is broken";
    }

    /* by Lua, which would buffer the pipe's output, too, or by a filter */

    if (!r->header_sent && r->http_version < NGX_HTTP_VERSION_11) {
        return "the header is held back in HTTP/1.0";
    }

    return NULL;
}


/* whether nobody is about to take the result of the last run */
static ngx_uint_t
ngx_ffi_lua_pipe_is_over(ngx_ffi_lua_pipe_t *p)
{
    if (p->sema == NULL) {
        return 1;
    }

    if (!ngx_ffi_lua_sema_left(p->sema)) {
        return 0;
    }

    ngx_ffi_lua_pipe_forget(p);

    return 1;
}


static int
ngx_ffi_lua_pipe_result(lua_State *L, ngx_ffi_lua_pipe_t *p)
{
    int  n;

    if (p->sema) {
        ngx_ffi_lua_sema_put(p->sema);
        p->sema = NULL;
    }

    ngx_ffi_lua_push_mark(L);

    if (p->error) {

        /* may throw for want of memory: it is still there then */

        n = ngx_ffi_lua_stream_push_error(L, p->error);

        bridge_task_free(bridge_host(), p->error, !p->error->rejected);
        p->error = NULL;

        return 1 + n;
    }

    if (p->failed) {
        lua_pushnil(L);
        lua_pushstring(L, p->failed);
        return 3;
    }

    lua_pushnumber(L, (lua_Number) p->outlet.bytes);

    return 2;
}


static int
ngx_ffi_lua_pipe_refused(lua_State *L, const char *why)
{
    ngx_ffi_lua_push_mark(L);
    lua_pushnil(L);
    lua_pushstring(L, why);

    return 3;
}
