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
#include "ngx_ffi_lua_waiter.h"
#include "ngx_http_ffi_event.h"


static int ngx_ffi_lua_give_up(lua_State *L, ngx_ffi_lua_waiter_t *w);
static ngx_int_t ngx_ffi_lua_complete(ngx_ffi_lua_waiter_t *w);
static int ngx_ffi_lua_push(lua_State *L, ngx_ffi_lua_waiter_t *w);


ngx_int_t
ngx_ffi_lua_wait(lua_State *L, ngx_http_request_t *r, bridge_task_t *t,
    ngx_msec_t ms, size_t max, u_char *err, size_t *errlen)
{
    ngx_ffi_lua_waiter_t  *w;

    w = ngx_ffi_lua_waiter_new(r, t, max);
    if (w == NULL) {
        *errlen = ngx_snprintf(err, *errlen, "no memory") - err;
        return NGX_ERROR;
    }

    w->sema = ngx_ffi_lua_sema_wait(L, r, ms, err, errlen);
    if (w->sema == NULL) {
        ngx_ffi_lua_waiter_free(w);
        return NGX_ERROR;
    }

    if (w->sema->bounded) {
        t->deadline = ngx_ffi_lua_now() + (int64_t) ms;
    }

    return NGX_OK;
}


int
ngx_ffi_lua_take(lua_State *L, uint64_t id)
{
    int                    n;
    bool                   delivered;
    bridge_task_t         *t;
    ngx_ffi_lua_waiter_t  *w;

    t = bridge_task_find(bridge_host(), id);
    w = t ? t->data : NULL;

    if (w == NULL) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "aborted");
        return 2;
    }

    if (ngx_ffi_lua_sema_waits(w->sema)) {
        return 0;
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
                   "lua ffi: call %uL taken by Lua%s", id,
                   t->rejected ? ": rejected" : "");

    if ((t->rejected || t->rc != 0) && ngx_ffi_lua_is_late(t)) {

        /* a runtime ends what is late, and says so as a failure */

        lua_pushboolean(L, 0);
        lua_pushliteral(L, "timeout");

        n = 2;
        delivered = 0;

    } else if (t->rejected) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "the runtime has ended");

        n = 2;
        delivered = 0;

    } else if (ngx_ffi_lua_complete(w) != NGX_OK) {
        lua_pushboolean(L, 0);
        lua_pushstring(L, w->failed);

        n = 2;
        delivered = 0;

    } else {
        n = ngx_ffi_lua_push(L, w);
        delivered = 1;
    }

    ngx_ffi_lua_waiter_free(w);
    bridge_task_free(bridge_host(), t, delivered);

    return n;
}


/* no answer is there */
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

    } else if (w->large) {
        ngx_ffi_lua_log_large(t, w->large);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, w->request->connection->log, 0,
                   "lua ffi: call %uL cancelled: %s", bridge_task_id(t), why);

    lua_pushboolean(L, 0);
    lua_pushstring(L, why);

    bridge_task_cancel(bridge_host(), t);
    ngx_ffi_lua_waiter_free(w);

    return 2;
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

    return n;
}
