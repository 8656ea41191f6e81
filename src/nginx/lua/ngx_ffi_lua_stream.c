/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lauxlib.h>
#include <lua.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_deadline.h"
#include "ngx_ffi_lua_stream.h"
#include "ngx_http_ffi_status_block.h"


#define NGX_FFI_LUA_STREAM  "resty.ffi.stream"


static void ngx_ffi_lua_stream_answered(bridge_task_t *t);
static void ngx_ffi_lua_stream_arrived(bridge_task_t *t, bridge_part_t *p);
static void ngx_ffi_lua_stream_room(bridge_task_t *t);
static void ngx_ffi_lua_wake_reader(ngx_ffi_lua_stream_t *s);
static void ngx_ffi_lua_wake_writer(ngx_ffi_lua_stream_t *s);
static ngx_uint_t ngx_ffi_lua_is_busy(ngx_ffi_lua_sema_t **sema);
static void ngx_ffi_lua_stream_let_go(ngx_ffi_lua_stream_t *s);
static void ngx_ffi_lua_stream_end(ngx_ffi_lua_owned_t *o);
static int ngx_ffi_lua_stream_gc(lua_State *L);
static void ngx_ffi_lua_stream_forget(ngx_ffi_lua_stream_t *s,
    const char *why);


static ngx_queue_t  ngx_ffi_lua_streams;


void
ngx_ffi_lua_stream_methods(lua_State *L)
{
    if (luaL_newmetatable(L, NGX_FFI_LUA_STREAM)) {
        lua_pushcfunction(L, ngx_ffi_lua_stream_gc);
        lua_setfield(L, -2, "__gc");

        lua_newtable(L);
        lua_setfield(L, -2, "__index");

        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }

    lua_getfield(L, -1, "__index");
    lua_remove(L, -2);
}


ngx_ffi_lua_stream_t *
ngx_ffi_lua_stream_new(lua_State *L)
{
    ngx_ffi_lua_stream_t  *s;

    if (ngx_ffi_lua_streams.next == NULL) {
        ngx_queue_init(&ngx_ffi_lua_streams);
    }

    s = lua_newuserdata(L, sizeof(ngx_ffi_lua_stream_t));

    ngx_memzero(s, sizeof(ngx_ffi_lua_stream_t));

    s->caller.handler = ngx_ffi_lua_stream_answered;
    s->caller.part = ngx_ffi_lua_stream_arrived;
    s->caller.room = ngx_ffi_lua_stream_room;
    s->owned.end = ngx_ffi_lua_stream_end;
    s->closed = "closed";
    s->last = &s->first;

    luaL_getmetatable(L, NGX_FFI_LUA_STREAM);
    lua_setmetatable(L, -2);

    ngx_queue_insert_tail(&ngx_ffi_lua_streams, &s->queue);

    return s;
}


ngx_int_t
ngx_ffi_lua_stream_attach(ngx_ffi_lua_stream_t *s, ngx_http_request_t *r,
    bridge_task_t *t)
{
    if (ngx_ffi_lua_own(r, &s->owned) != NGX_OK) {
        return NGX_ERROR;
    }

    s->caller.log = r->connection->log;
    s->main = r->main;
    s->task = t;
    s->closed = NULL;

    t->data = s;

    return NGX_OK;
}


ngx_ffi_lua_stream_t *
ngx_ffi_lua_stream_check(lua_State *L, int index)
{
    return luaL_checkudata(L, index, NGX_FFI_LUA_STREAM);
}


static void
ngx_ffi_lua_stream_answered(bridge_task_t *t)
{
    ngx_ffi_lua_stream_t  *s;

    s = t->data;

    s->answered = 1;

    ngx_log_debug3(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: stream %uL answered: status %d, %uz bytes",
                   bridge_task_id(t), t->rc, t->rsp_len);

    ngx_ffi_lua_wake_reader(s);
    ngx_ffi_lua_wake_writer(s);
}


static void
ngx_ffi_lua_stream_arrived(bridge_task_t *t, bridge_part_t *p)
{
    ngx_ffi_lua_stream_t  *s;

    s = t->data;

    p->node.next = NULL;
    *s->last = p;
    s->last = (bridge_part_t **) &p->node.next;

    ngx_ffi_lua_wake_reader(s);
}


static void
ngx_ffi_lua_stream_room(bridge_task_t *t)
{
    ngx_ffi_lua_wake_writer(t->data);
}


static void
ngx_ffi_lua_wake_reader(ngx_ffi_lua_stream_t *s)
{
    if (s->arrived) {
        s->arrived(s);

    } else if (s->reader) {
        (void) ngx_ffi_lua_sema_resume(s->reader);
    }
}


static void
ngx_ffi_lua_wake_writer(ngx_ffi_lua_stream_t *s)
{
    if (s->room) {
        s->room(s);

    } else if (s->writer) {
        (void) ngx_ffi_lua_sema_resume(s->writer);
    }
}


const char *
ngx_ffi_lua_stream_may_read(ngx_ffi_lua_stream_t *s, ngx_http_request_t *r)
{
    if (s->task && (r == NULL || r->main != s->main)) {
        return "bad request";
    }

    return s->arrived || ngx_ffi_lua_is_busy(&s->reader) ? "busy reading"
                                                         : NULL;
}


const char *
ngx_ffi_lua_stream_may_write(ngx_ffi_lua_stream_t *s, ngx_http_request_t *r)
{
    if (s->task && (r == NULL || r->main != s->main)) {
        return "bad request";
    }

    return s->room || ngx_ffi_lua_is_busy(&s->writer) ? "busy writing"
                                                      : NULL;
}


/* whether a coroutine waits there that has not been killed */
static ngx_uint_t
ngx_ffi_lua_is_busy(ngx_ffi_lua_sema_t **sema)
{
    if (*sema == NULL) {
        return 0;
    }

    if (!ngx_ffi_lua_sema_left(*sema)) {
        return 1;
    }

    ngx_ffi_lua_sema_put(*sema);
    *sema = NULL;

    return 0;
}


bridge_part_t *
ngx_ffi_lua_stream_part(ngx_ffi_lua_stream_t *s)
{
    bridge_part_t  *p;

    p = s->first;
    if (p == NULL) {
        return NULL;
    }

    s->first = (bridge_part_t *) p->node.next;
    s->begun = 1;

    if (s->first == NULL) {
        s->last = &s->first;
    }

    return p;
}


bridge_task_t *
ngx_ffi_lua_stream_answer(ngx_ffi_lua_stream_t *s)
{
    bridge_task_t  *t;

    t = s->task;

    if (t == NULL || !s->answered || s->first) {
        return NULL;
    }

    ngx_ffi_lua_stream_let_go(s);

    return t;
}


static void
ngx_ffi_lua_stream_let_go(ngx_ffi_lua_stream_t *s)
{
    s->task->data = NULL;
    s->task = NULL;

    ngx_queue_remove(&s->owned.queue);
}


ngx_int_t
ngx_ffi_lua_stream_bound(ngx_ffi_lua_stream_t *s, ngx_msec_t *ms)
{
    int64_t  left;

    *ms = s->begun ? s->read_timeout : s->first_timeout;

    if (s->task == NULL || s->task->deadline == 0) {
        return NGX_OK;
    }

    left = s->task->deadline - ngx_ffi_lua_now();

    if (left <= 0) {
        return NGX_DECLINED;
    }

    if (*ms == 0 || left < (int64_t) *ms) {
        *ms = (ngx_msec_t) left;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_ffi_lua_stream_grows(ngx_ffi_lua_stream_t *s)
{
    ngx_uint_t  grows;

    grows = s->moved
            || (s->input && !s->written && !s->finished && !s->held);

    s->moved = 0;

    return grows;
}


void
ngx_ffi_lua_stream_close(ngx_ffi_lua_stream_t *s, const char *why)
{
    bridge_part_t  *p;
    bridge_task_t  *t;

    t = s->task;
    if (t == NULL) {
        return;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: stream %uL closed: %s", bridge_task_id(t), why);

    ngx_ffi_lua_stream_let_go(s);

    s->closed = why;

    if (why == NULL
        || ngx_strcmp(why, "response too large") == 0
        || ngx_strcmp(why, "no memory") == 0)
    {
        ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_ERROR);

    } else if (ngx_strcmp(why, "timeout") == 0) {
        ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_TIMEOUT);
    }

    if (!s->answered) {
        bridge_task_cancel(bridge_host(), t);
    }

    for (p = ngx_ffi_lua_stream_part(s); p; p = ngx_ffi_lua_stream_part(s)) {
        bridge_part_free(bridge_host(), p, 0);
    }

    if (s->answered) {
        bridge_task_free(bridge_host(), t, 0);
    }

    ngx_ffi_lua_wake_reader(s);
    ngx_ffi_lua_wake_writer(s);
}


static void
ngx_ffi_lua_stream_end(ngx_ffi_lua_owned_t *o)
{
    ngx_ffi_lua_stream_t  *s;

    s = ngx_queue_data(o, ngx_ffi_lua_stream_t, owned);

    /* not in the request's queue any more */
    ngx_queue_init(&o->queue);

    ngx_ffi_lua_stream_forget(s, "closed");
}


static int
ngx_ffi_lua_stream_gc(lua_State *L)
{
    ngx_ffi_lua_stream_t  *s;

    s = lua_touserdata(L, 1);

    ngx_ffi_lua_stream_forget(s, "closed");
    ngx_queue_remove(&s->queue);

    return 0;
}


/* no coroutine waits there, nor will one */
static void
ngx_ffi_lua_stream_forget(ngx_ffi_lua_stream_t *s, const char *why)
{
    if (s->reader) {
        ngx_ffi_lua_sema_put(s->reader);
        s->reader = NULL;
    }

    if (s->writer) {
        ngx_ffi_lua_sema_put(s->writer);
        s->writer = NULL;
    }

    ngx_ffi_lua_stream_close(s, why);
}


void
ngx_ffi_lua_streams_exit(void)
{
    ngx_queue_t           *q;
    ngx_ffi_lua_stream_t  *s;

    if (ngx_ffi_lua_streams.next == NULL) {
        return;
    }

    for (q = ngx_queue_head(&ngx_ffi_lua_streams);
         q != ngx_queue_sentinel(&ngx_ffi_lua_streams);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_ffi_lua_stream_t, queue);

        s->arrived = NULL;
        s->room = NULL;

        ngx_ffi_lua_stream_forget(s, "shutting down");
    }
}


void
ngx_ffi_lua_push_mark(lua_State *L)
{
    lua_pushvalue(L, 4);
}


int
ngx_ffi_lua_stream_push_error(lua_State *L, bridge_task_t *t)
{
    lua_pushnil(L);

    /* a runtime ends what is late, and says so as a failure */

    if (ngx_ffi_lua_is_late(t)) {
        ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_TIMEOUT);
        lua_pushliteral(L, "timeout");
        return 2;
    }

    if (t->rejected) {
        ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_REFUSED);
        lua_pushliteral(L, "the runtime has ended");
        return 2;
    }

    ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_ERROR);
    lua_pushliteral(L, "failed");
    lua_pushinteger(L, t->rc);

    if (t->rsp) {
        lua_pushlstring(L, t->rsp, t->rsp_len);

    } else {
        lua_pushnil(L);
    }

    if (t->no_method) {
        lua_pushliteral(L, "no method");
        return 5;
    }

    return 4;
}
