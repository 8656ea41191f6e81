/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "abi.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_ffi_lua_log.h"
#include "ngx_ffi_lua_task.h"
#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_health.h"
#include "ngx_http_ffi_load.h"
#include "ngx_http_ffi_status_account.h"
#include "stream.h"


static bridge_task_t *ngx_ffi_lua_refuse(lua_State *L,
    ngx_http_ffi_runtime_t *rt, const char *why);
static void ngx_ffi_lua_trace(ngx_http_request_t *r, bridge_task_t *t);


bridge_task_t *
ngx_ffi_lua_task_new(lua_State *L, ngx_ffi_lua_asked_t *asked)
{
    size_t                    len, method_len;
    const char               *req, *method, *unfit;
    bridge_task_t            *t;
    ngx_http_request_t       *r;
    ngx_http_ffi_runtime_t   *rt;
    ngx_http_ffi_loc_conf_t  *flcf;

    rt = ngx_http_ffi_serving((uint64_t) lua_tonumber(L, 1));
    if (rt == NULL) {
        return ngx_ffi_lua_refuse(L, NULL, NGX_HTTP_FFI_FINISHED);
    }

    r = ngx_http_lua_get_request(L);
    if (r == NULL) {
        return ngx_ffi_lua_refuse(L, rt, "no request here: a call needs "
                                  "a coroutine that can wait");
    }

    len = 0;
    req = lua_tolstring(L, 2, &len);

    if (len > rt->load.max_request) {
        return ngx_ffi_lua_refuse(L, rt, "request too large");
    }

    if (bridge_queue_full(rt->requests)) {
        ngx_ffi_lua_log_full(r, rt);
        return ngx_ffi_lua_refuse(L, rt, NGX_HTTP_FFI_FULL);
    }

    asked->runtime = rt;
    asked->request = r;
    asked->ms = ngx_ffi_lua_timeout(L, 4, asked);

    unfit = ngx_http_ffi_unfit(rt, asked->ms);
    if (unfit) {
        return ngx_ffi_lua_refuse(L, rt, unfit);
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_ffi_module);

    asked->high = flcf->stream_buffer == BRIDGE_STREAM_HIGH
                  ? 0 : flcf->stream_buffer;

    method_len = 0;
    method = lua_tolstring(L, 3, &method_len);

    t = bridge_task_new(bridge_host(), req, len, method, method_len);
    if (t == NULL) {
        return ngx_ffi_lua_refuse(L, rt, "no memory, or too many calls "
                                  "without an answer");
    }

    ngx_ffi_lua_trace(r, t);

    return t;
}


static void
ngx_ffi_lua_trace(ngx_http_request_t *r, bridge_task_t *t)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static const char  name[] = "traceparent";

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof(name) - 1
                && ngx_memcmp(h[i].lowcase_key, name, sizeof(name) - 1) == 0)
            {
                bridge_task_set_trace(t, (char *) h[i].value.data,
                                      h[i].value.len);
                return;
            }
        }
    }
}


static bridge_task_t *
ngx_ffi_lua_refuse(lua_State *L, ngx_http_ffi_runtime_t *rt, const char *why)
{
    ngx_ffi_lua_task_refused(L, rt);

    lua_pushnil(L);
    lua_pushstring(L, why);

    return NULL;
}


void
ngx_ffi_lua_task_refused(lua_State *L, ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  method;

    method.len = 0;
    method.data = (u_char *) lua_tolstring(L, 3, &method.len);

    ngx_http_ffi_status_refused(rt, &method);
}


void
ngx_ffi_lua_task_put(ngx_ffi_lua_asked_t *asked, bridge_task_t *t)
{
    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, asked->request->connection->log, 0,
                   "lua ffi: call %uL put to runtime %p: %M ms",
                   bridge_task_id(t), asked->runtime, asked->ms);

    ngx_http_ffi_status_put(asked->runtime, t, NULL);

    (void) bridge_put(asked->runtime->requests, t);
    ngx_http_ffi_wake_later(&asked->runtime->wake);
}


ngx_msec_t
ngx_ffi_lua_timeout(lua_State *L, int index, ngx_ffi_lua_asked_t *asked)
{
    ngx_msec_t                ms;
    ngx_http_ffi_loc_conf_t  *flcf;

    ms = ngx_ffi_lua_msec(L, index);

    if (ms == NGX_CONF_UNSET_MSEC) {
        ms = asked->runtime->load.timeout;
    }

    if (ms == NGX_CONF_UNSET_MSEC) {
        flcf = ngx_http_get_module_loc_conf(asked->request,
                                            ngx_http_ffi_module);
        ms = flcf->timeout;
    }

    if (ms == NGX_CONF_UNSET_MSEC) {
        ms = (ngx_msec_t) atomic_load_explicit(
                              &asked->runtime->requests->timeout,
                              memory_order_relaxed);
    }

    return ms;
}
