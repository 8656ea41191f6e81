/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <lua.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_call.h"
#include "ngx_ffi_lua_deadline.h"
#include "ngx_ffi_lua_log.h"
#include "ngx_ffi_lua_task.h"
#include "ngx_ffi_lua_waiter.h"
#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_load.h"
#include "ngx_http_ffi_status_account.h"


static ngx_ffi_lua_waiter_t *ngx_ffi_lua_waiter_of(lua_State *L);
static void ngx_ffi_lua_refused(ngx_ffi_lua_waiter_t *w,
    ngx_http_ffi_runtime_t *rt);
static int ngx_ffi_lua_not_started(lua_State *L, ngx_ffi_lua_waiter_t *w,
    const u_char *err, size_t len);
static int ngx_ffi_lua_aborted(lua_State *L);
static int ngx_ffi_lua_give_up(lua_State *L, ngx_ffi_lua_waiter_t *w);
static ngx_int_t ngx_ffi_lua_complete(ngx_ffi_lua_waiter_t *w);
static int ngx_ffi_lua_push(lua_State *L, ngx_ffi_lua_waiter_t *w);


int
ngx_ffi_lua_start(lua_State *L)
{
    size_t                 len;
    u_char                 err[NGX_HTTP_FFI_ERR_LEN];
    ngx_ffi_lua_asked_t    asked;
    ngx_ffi_lua_waiter_t  *w;

    w = ngx_ffi_lua_waiter_of(L);
    if (w == NULL) {
        return ngx_ffi_lua_aborted(L);
    }

    if (w->kept) {
        asked.runtime = ngx_http_ffi_serving(w->runtime);
        asked.request = w->request;
        asked.ms = w->ms;

        if (asked.runtime == NULL) {
            ngx_ffi_lua_refused(w, NULL);
            return ngx_ffi_lua_not_started(L, w,
                                     (u_char *) NGX_HTTP_FFI_FINISHED,
                                     sizeof(NGX_HTTP_FFI_FINISHED) - 1);
        }
    }

    len = sizeof(err);

    w->sema = ngx_ffi_lua_sema_wait(L, w->request, w->ms, err, &len);
    if (w->sema == NULL) {
        if (w->kept) {
            ngx_ffi_lua_refused(w, asked.runtime);
        }

        return ngx_ffi_lua_not_started(L, w, err, len);
    }

    if (w->sema->bounded) {
        w->task->put_at = bridge_now_us();
        w->task->deadline = w->task->put_at / 1000 + (int64_t) w->ms;
    }

    if (w->kept) {
        w->kept = 0;

        ngx_ffi_lua_task_put(&asked, w->task);
    }

    return lua_yield(L, 0);
}


static ngx_ffi_lua_waiter_t *
ngx_ffi_lua_waiter_of(lua_State *L)
{
    bridge_task_t  *t;

    t = bridge_task_find(bridge_host(), (uint64_t) lua_tonumber(L, 1));

    return t ? t->data : NULL;
}


static void
ngx_ffi_lua_refused(ngx_ffi_lua_waiter_t *w, ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  method;

    method.data = (u_char *) atomic_load(&w->task->method);
    method.len = (size_t) atomic_load(&w->task->method_len);

    ngx_http_ffi_status_refused(rt, &method);
}


static int
ngx_ffi_lua_not_started(lua_State *L, ngx_ffi_lua_waiter_t *w,
    const u_char *err, size_t len)
{
    ngx_ffi_lua_waiter_drop(w);

    lua_pushboolean(L, 0);
    lua_pushlstring(L, (const char *) err, len);

    return 3;
}


static int
ngx_ffi_lua_aborted(lua_State *L)
{
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "aborted");

    return 3;
}


int
ngx_ffi_lua_take(lua_State *L)
{
    int                      n;
    bool                     delivered;
    bridge_task_t           *t;
    ngx_http_ffi_outcome_e   outcome;
    ngx_ffi_lua_waiter_t    *w;

    w = ngx_ffi_lua_waiter_of(L);

    if (w == NULL || w->sema == NULL) {
        return ngx_ffi_lua_aborted(L);
    }

    t = w->task;

    if (ngx_ffi_lua_sema_waits(w->sema)) {
        return lua_yield(L, 0);
    }

    if (!w->answered) {

        /* an answer that is there wins against the deadline */

        w->taking = 1;
        ngx_http_ffi_event_drain();
    }

    if (!w->answered) {
        return ngx_ffi_lua_give_up(L, w);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, w->request->connection->log, 0,
                   "lua ffi: call %uL taken by Lua%s", bridge_task_id(t),
                   t->rejected ? ": rejected" : "");

    if ((t->rejected || t->rc != 0) && ngx_ffi_lua_is_late(t)) {

        /* a runtime ends what is late, and says so as a failure */

        lua_pushboolean(L, 0);
        lua_pushliteral(L, "timeout");

        n = 2;
        delivered = 0;
        outcome = NGX_HTTP_FFI_CALL_TIMEOUT;

    } else if (t->rejected) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "the runtime has ended");

        n = 2;
        delivered = 0;
        outcome = NGX_HTTP_FFI_CALL_REFUSED;

    } else if (ngx_ffi_lua_complete(w) != NGX_OK) {
        lua_pushboolean(L, 0);
        lua_pushstring(L, w->failed);

        n = 2;
        delivered = 0;
        outcome = NGX_HTTP_FFI_CALL_ERROR;

    } else {
        n = ngx_ffi_lua_push(L, w);
        delivered = 1;
        outcome = t->rc == 0 ? NGX_HTTP_FFI_CALL_OK : NGX_HTTP_FFI_CALL_ERROR;
    }

    ngx_http_ffi_status_settle(t, outcome);

    ngx_ffi_lua_waiter_free(w);
    bridge_task_free(bridge_host(), t, delivered);

    return 1 + n;
}


/* no answer is there; with the mark */
static int
ngx_ffi_lua_give_up(lua_State *L, ngx_ffi_lua_waiter_t *w)
{
    const char     *why;
    bridge_task_t  *t;

    t = w->task;
    why = w->failed ? w->failed : w->sema->ended;

    if (why == NULL) {
        ngx_ffi_lua_log_timeout(t);
        why = "timeout";
        ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_TIMEOUT);

    } else if (w->large) {
        ngx_ffi_lua_log_large(t, w->large);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, w->request->connection->log, 0,
                   "lua ffi: call %uL cancelled: %s", bridge_task_id(t), why);

    lua_pushboolean(L, 0);
    lua_pushstring(L, why);

    ngx_ffi_lua_waiter_drop(w);

    return 3;
}


/* what has come in parts and what the answer has itself; no text of errors */
static ngx_int_t
ngx_ffi_lua_complete(ngx_ffi_lua_waiter_t *w)
{
    bridge_task_t  *t;

    t = w->task;

    if (w->failed == NULL && t->rsp && t->rsp_len > w->max) {
        w->failed = "response too large";
        w->large = t->rsp_len;
    }

    if (w->failed == NULL && w->nparts && t->rc == 0 && t->rsp) {
        (void) ngx_ffi_lua_gather(w, t->rsp, t->rsp_len);
    }

    if (w->large) {
        ngx_ffi_lua_log_large(t, w->large);
    }

    return w->failed ? NGX_ERROR : NGX_OK;
}


static int
ngx_ffi_lua_push(lua_State *L, ngx_ffi_lua_waiter_t *w)
{
    int             n;
    bridge_task_t  *t;

    t = w->task;

    lua_pushboolean(L, t->rc == 0);

    n = 1;

    if (t->rc != 0) {
        lua_pushinteger(L, t->rc);
        n++;
    }

    /* may throw for want of memory: the sweep ends the task then */

    if (t->rc == 0 && w->nparts) {
        lua_pushlstring(L, (char *) w->parts, w->nparts);
        n++;

    } else if (t->rsp) {
        lua_pushlstring(L, t->rsp, t->rsp_len);
        n++;
    }

    if (t->rc != 0 && t->no_method) {

        /* behind the text, which may be missing */

        if (t->rsp == NULL) {
            lua_pushnil(L);
            n++;
        }

        lua_pushliteral(L, "no method");
        n++;
    }

    return n;
}
