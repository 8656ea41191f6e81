/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <errno.h>

#include <lauxlib.h>
#include <lua.h>

#include "abi.h"
#include "end.h"
#include "input.h"
#include "ngx_ffi_lua_body.h"
#include "ngx_ffi_lua_deadline.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_ffi_lua_log.h"
#include "ngx_ffi_lua_stream.h"
#include "ngx_ffi_lua_stream_api.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_status_block.h"


/* how a wait has gone */
typedef struct {
    const char  *ended;     /* before its time: why */
    ngx_uint_t   late;
} ngx_ffi_lua_woken_t;


static ngx_uint_t ngx_ffi_lua_woken(ngx_ffi_lua_sema_t **sema,
    ngx_ffi_lua_woken_t *woken);
static ngx_uint_t ngx_ffi_lua_is_readable(ngx_ffi_lua_stream_t *s);
static int ngx_ffi_lua_read_part(lua_State *L, ngx_ffi_lua_stream_t *s);
static int ngx_ffi_lua_read_end(lua_State *L, ngx_ffi_lua_stream_t *s);
static int ngx_ffi_lua_read_wait(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r);
static int ngx_ffi_lua_write_wait(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r);
static int ngx_ffi_lua_too_large(lua_State *L, ngx_ffi_lua_stream_t *s,
    size_t len);
static int ngx_ffi_lua_too_late(lua_State *L, ngx_ffi_lua_stream_t *s);
static int ngx_ffi_lua_stop(lua_State *L, ngx_ffi_lua_stream_t *s,
    const char *why);
static int ngx_ffi_lua_done(lua_State *L, const char *err);


int
ngx_ffi_lua_core_stream_read(lua_State *L)
{
    const char            *why;
    ngx_http_request_t    *r;
    ngx_ffi_lua_woken_t    woken;
    ngx_ffi_lua_stream_t  *s;

    s = ngx_ffi_lua_stream_check(L, 1);
    r = ngx_http_lua_get_request(L);

    ngx_memzero(&woken, sizeof(ngx_ffi_lua_woken_t));

    if (lua_toboolean(L, 2)) {
        if (!ngx_ffi_lua_woken(&s->reader, &woken)) {
            return lua_yield(L, 0);
        }

        if (woken.late) {

            /* what is there wins against the deadline */
            ngx_http_ffi_event_drain();
        }

    } else {
        why = ngx_ffi_lua_stream_may_read(s, r);
        if (why) {
            return ngx_ffi_lua_done(L, why);
        }
    }

    if (s->task == NULL) {
        return ngx_ffi_lua_done(L, s->closed);
    }

    if (!s->answered && ngx_ffi_lua_is_late(s->task)) {
        return ngx_ffi_lua_too_late(L, s);
    }

    if (lua_toboolean(L, 3) && ngx_ffi_lua_is_readable(s)) {
        ngx_ffi_lua_push_mark(L);
        lua_pushboolean(L, 1);
        return 2;
    }

    if (s->first) {
        return ngx_ffi_lua_read_part(L, s);
    }

    if (s->answered) {
        return ngx_ffi_lua_read_end(L, s);
    }

    if (woken.ended) {
        return ngx_ffi_lua_stop(L, s, woken.ended);
    }

    if (woken.late && !ngx_ffi_lua_stream_grows(s)) {
        return ngx_ffi_lua_too_late(L, s);
    }

    return ngx_ffi_lua_read_wait(L, s, r);
}


/* false: something else has resumed the coroutine, which waits still */
static ngx_uint_t
ngx_ffi_lua_woken(ngx_ffi_lua_sema_t **sema, ngx_ffi_lua_woken_t *woken)
{
    if (ngx_ffi_lua_sema_waits(*sema)) {
        return 0;
    }

    woken->ended = (*sema)->ended;
    woken->late = !(*sema)->posted;

    ngx_ffi_lua_sema_put(*sema);
    *sema = NULL;

    return 1;
}


/* whether a part has come, or the end, and no error */
static ngx_uint_t
ngx_ffi_lua_is_readable(ngx_ffi_lua_stream_t *s)
{
    return s->first
           || (s->answered && s->task->rc == 0 && !s->task->rejected);
}


static int
ngx_ffi_lua_read_part(lua_State *L, ngx_ffi_lua_stream_t *s)
{
    bridge_part_t  *p;

    p = s->first;

    if (p->len > s->max) {
        return ngx_ffi_lua_too_large(L, s, p->len);
    }

    /* may throw for want of memory: the part is still there then */

    ngx_ffi_lua_push_mark(L);
    lua_pushlstring(L, p->bytes, p->len);

    bridge_part_free(bridge_host(), ngx_ffi_lua_stream_part(s), 1);

    return 2;
}


static int
ngx_ffi_lua_read_end(lua_State *L, ngx_ffi_lua_stream_t *s)
{
    int             n;
    bridge_task_t  *t;

    t = s->task;

    if (t->rsp && t->rsp_len > s->max) {
        return ngx_ffi_lua_too_large(L, s, t->rsp_len);
    }

    /* may throw for want of memory: the task is still there then */

    ngx_ffi_lua_push_mark(L);

    n = 1;

    if (t->rejected || t->rc != 0) {
        n = ngx_ffi_lua_stream_push_error(L, t);
        s->closed = "closed";

    } else if (t->rsp && t->rsp_len) {
        lua_pushlstring(L, t->rsp, t->rsp_len);

    } else {
        lua_pushnil(L);
    }

    ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_OK);

    (void) ngx_ffi_lua_stream_answer(s);
    bridge_task_free(bridge_host(), t, !t->rejected);

    return 1 + n;
}


static int
ngx_ffi_lua_read_wait(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r)
{
    size_t      len;
    u_char      err[NGX_HTTP_FFI_ERR_LEN];
    ngx_msec_t  ms;

    if (ngx_ffi_lua_stream_bound(s, &ms) != NGX_OK) {
        return ngx_ffi_lua_too_late(L, s);
    }

    len = sizeof(err);

    s->moved = 0;

    s->reader = ngx_ffi_lua_sema_wait(L, r, ms, err, &len);

    if (s->reader) {
        return lua_yield(L, 0);
    }

    ngx_ffi_lua_push_mark(L);

    return 1 + ngx_ffi_lua_fail(L, err, len);
}


int
ngx_ffi_lua_core_stream_write(lua_State *L)
{
    size_t                 len;
    const char            *chunk, *why;
    ngx_http_request_t    *r;
    ngx_ffi_lua_woken_t    woken;
    ngx_ffi_lua_stream_t  *s;

    s = ngx_ffi_lua_stream_check(L, 1);
    r = ngx_http_lua_get_request(L);
    chunk = luaL_checklstring(L, 3, &len);

    if (!s->written) {
        return luaL_error(L, "a stream is written to only with opts.input");
    }

    ngx_memzero(&woken, sizeof(ngx_ffi_lua_woken_t));

    if (lua_toboolean(L, 2)) {
        if (!ngx_ffi_lua_woken(&s->writer, &woken)) {
            return lua_yield(L, 0);
        }

    } else {
        why = ngx_ffi_lua_stream_may_write(s, r);
        if (why) {
            return ngx_ffi_lua_done(L, why);
        }
    }

    if (s->task == NULL) {
        return ngx_ffi_lua_done(L, s->closed ? s->closed : "closed");
    }

    if (s->finished) {
        return ngx_ffi_lua_done(L, "finished");
    }

    if (len > s->max_request) {
        return ngx_ffi_lua_done(L, "request too large");
    }

    switch (bridge_stream_write(bridge_host(), s->task, chunk, len)) {

    case 0:
        ngx_http_ffi_status_in(s->task, len);
        s->moved = 1;
        ngx_ffi_lua_push_mark(L);
        lua_pushboolean(L, 1);
        return 2;

    case ENOMEM:
        return ngx_ffi_lua_done(L, "no memory");

    case EPIPE:
        return ngx_ffi_lua_done(L, "closed");

    default: /* EAGAIN */
        break;
    }

    if (woken.ended) {
        return ngx_ffi_lua_stop(L, s, woken.ended);
    }

    if (woken.late) {
        return ngx_ffi_lua_too_late(L, s);
    }

    return ngx_ffi_lua_write_wait(L, s, r);
}


static int
ngx_ffi_lua_write_wait(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r)
{
    size_t      len;
    u_char      err[NGX_HTTP_FFI_ERR_LEN];
    ngx_msec_t  ms;

    if (ngx_ffi_lua_stream_bound(s, &ms) != NGX_OK) {
        return ngx_ffi_lua_too_late(L, s);
    }

    len = sizeof(err);

    s->writer = ngx_ffi_lua_sema_wait(L, r, ms, err, &len);

    if (s->writer) {
        return lua_yield(L, 0);
    }

    ngx_ffi_lua_push_mark(L);

    return 1 + ngx_ffi_lua_fail(L, err, len);
}


static int
ngx_ffi_lua_too_large(lua_State *L, ngx_ffi_lua_stream_t *s, size_t len)
{
    ngx_ffi_lua_log_large(s->task, len);

    return ngx_ffi_lua_stop(L, s, "response too large");
}


static int
ngx_ffi_lua_too_late(lua_State *L, ngx_ffi_lua_stream_t *s)
{
    if (!s->begun) {
        ngx_ffi_lua_log_timeout(s->task);
    }

    return ngx_ffi_lua_stop(L, s, "timeout");
}


static int
ngx_ffi_lua_stop(lua_State *L, ngx_ffi_lua_stream_t *s, const char *why)
{
    ngx_ffi_lua_stream_close(s, why);

    return ngx_ffi_lua_done(L, why);
}


/* the mark, nil, and an error if there is one */
static int
ngx_ffi_lua_done(lua_State *L, const char *err)
{
    ngx_ffi_lua_push_mark(L);
    lua_pushnil(L);

    if (err == NULL) {
        return 2;
    }

    lua_pushstring(L, err);

    return 3;
}


int
ngx_ffi_lua_core_stream_finish(lua_State *L)
{
    const char            *why;
    ngx_ffi_lua_stream_t  *s;

    s = ngx_ffi_lua_stream_check(L, 1);

    if (!s->written) {
        return luaL_error(L, "a stream is finished only with opts.input");
    }

    why = ngx_ffi_lua_stream_may_write(s, ngx_http_lua_get_request(L));

    if (why == NULL && s->task == NULL) {
        why = s->closed ? s->closed : "closed";
    }

    if (why == NULL && s->finished) {
        why = "finished";
    }

    if (why) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }

    bridge_stream_finish(bridge_host(), s->task);
    s->finished = 1;
    s->moved = 1;

    lua_pushboolean(L, 1);

    return 1;
}


int
ngx_ffi_lua_core_stream_close(lua_State *L)
{
    ngx_ffi_lua_stream_close(ngx_ffi_lua_stream_check(L, 1), "closed");

    lua_pushboolean(L, 1);

    return 1;
}


int
ngx_ffi_lua_core_body_arrives(lua_State *L)
{
    ngx_http_request_t  *r;

    r = ngx_http_lua_get_request(L);

    lua_pushboolean(L, r && ngx_ffi_lua_body_arrives(r));

    return 1;
}


int
ngx_ffi_lua_core_stream_methods(lua_State *L)
{
    ngx_ffi_lua_stream_methods(L);

    return 1;
}
