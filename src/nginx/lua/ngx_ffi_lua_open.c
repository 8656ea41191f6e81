/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_body.h"
#include "ngx_ffi_lua_deadline.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_ffi_lua_open.h"
#include "ngx_ffi_lua_sema.h"
#include "ngx_ffi_lua_stream.h"
#include "ngx_ffi_lua_task.h"
#include "ngx_http_ffi_event.h"


static void ngx_ffi_lua_set_stream(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_ffi_lua_asked_t *asked);
static int ngx_ffi_lua_not_open(lua_State *L, const char *why);


int
ngx_ffi_lua_core_stream_open(lua_State *L)
{
    size_t                 len;
    u_char                 err[NGX_HTTP_FFI_ERR_LEN];
    const char            *why, *trace;
    bridge_task_t         *t;
    ngx_ffi_lua_asked_t    asked;
    ngx_ffi_lua_stream_t  *s;

    /* first: it may throw for want of memory */
    s = ngx_ffi_lua_stream_new(L);

    t = ngx_ffi_lua_task_new(L, &asked);
    if (t == NULL) {
        return 2;
    }

    trace = lua_tolstring(L, 9, &len);
    if (trace) {
        bridge_task_set_trace(t, trace, len);
    }

    len = sizeof(err);

    if (ngx_ffi_lua_can_wait(L, asked.request, err, &len) != NGX_OK) {
        bridge_task_free(bridge_host(), t, 0);
        ngx_ffi_lua_task_refused(L, asked.runtime);
        return ngx_ffi_lua_fail(L, err, len);
    }

    if (ngx_ffi_lua_waits_ended(asked.request, asked.ms)) {
        bridge_task_free(bridge_host(), t, 0);
        ngx_ffi_lua_task_refused(L, asked.runtime);
        return ngx_ffi_lua_not_open(L, "shutting down");
    }

    if (ngx_ffi_lua_stream_attach(s, asked.request, t) != NGX_OK) {
        bridge_task_free(bridge_host(), t, 0);
        ngx_ffi_lua_task_refused(L, asked.runtime);
        return ngx_ffi_lua_not_open(L, "no memory");
    }

    ngx_ffi_lua_set_stream(L, s, &asked);

    if (s->input && !s->written) {
        why = ngx_ffi_lua_body_feed(s, asked.request);

        if (why) {

            /* no runtime has it: it ends here */

            s->answered = 1;
            ngx_ffi_lua_stream_close(s, why);
            ngx_ffi_lua_task_refused(L, asked.runtime);

            return ngx_ffi_lua_not_open(L, why);
        }
    }

    ngx_ffi_lua_task_put(&asked, t);

    return 1;
}


/* what the arguments say */
static void
ngx_ffi_lua_set_stream(lua_State *L, ngx_ffi_lua_stream_t *s,
    ngx_ffi_lua_asked_t *asked)
{
    ngx_msec_t  ms;

    s->max = asked->runtime->load.max_response;
    s->max_request = asked->runtime->load.max_request;
    s->first_timeout = asked->ms;
    s->read_timeout = ngx_ffi_lua_timeout(L, 5, asked);
    s->input = lua_toboolean(L, 7);
    s->written = lua_toboolean(L, 8);

    ms = ngx_ffi_lua_msec(L, 6);

    if (ms != NGX_CONF_UNSET_MSEC && ms != 0) {
        s->task->deadline = ngx_ffi_lua_now() + (int64_t) ms;
    }

    if (asked->high || s->input) {
        bridge_stream_open(s->task, asked->high, s->input);
    }
}


static int
ngx_ffi_lua_not_open(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);

    return 2;
}
