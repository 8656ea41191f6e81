/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lauxlib.h>
#include <lua.h>

#include "abi.h"
#include "end.h"
#include "ffi_lua.h"
#include "ngx_ffi_lua_api.h"
#include "ngx_ffi_lua_call.h"
#include "ngx_ffi_lua_conf.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_http_ffi_health.h"
#include "ngx_http_ffi_load.h"
#include "version.h"


static int ngx_ffi_lua_resty_core(lua_State *L);
static int ngx_ffi_lua_resty_ffi(lua_State *L);
static int ngx_ffi_lua_core_submit(lua_State *L);
static int ngx_ffi_lua_core_wait(lua_State *L);
static int ngx_ffi_lua_core_take(lua_State *L);
static int ngx_ffi_lua_core_alive(lua_State *L);
static int ngx_ffi_lua_core_unload(lua_State *L);
static ngx_msec_t ngx_ffi_lua_timeout(lua_State *L, int index,
    ngx_http_request_t *r, ngx_http_ffi_runtime_t *rt);
static void ngx_ffi_lua_log_full(ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt);


static const luaL_Reg  ngx_ffi_lua_core[] = {
    { "load",    ngx_ffi_lua_core_load },
    { "reload",  ngx_ffi_lua_core_reload },
    { "submit",  ngx_ffi_lua_core_submit },
    { "wait",    ngx_ffi_lua_core_wait },
    { "take",    ngx_ffi_lua_core_take },
    { "alive",   ngx_ffi_lua_core_alive },
    { "unload",  ngx_ffi_lua_core_unload },
    { NULL, NULL }
};


ngx_int_t
ngx_ffi_lua_preload(ngx_conf_t *cf)
{
    if (ngx_http_lua_add_package_preload(cf, "resty.core",
                                         ngx_ffi_lua_resty_core)
        != NGX_OK
        || ngx_http_lua_add_package_preload(cf, "resty.ffi",
                                            ngx_ffi_lua_resty_ffi)
           != NGX_OK
        || ngx_http_lua_add_package_preload(cf, "resty_ffi",
                                            ngx_ffi_lua_resty_ffi)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The lua module requires resty.core first of all in each VM.  This stands
 * before the real one just once, to come by after it.
 */
static int
ngx_ffi_lua_resty_core(lua_State *L)
{
    lua_getglobal(L, "package");

    lua_getfield(L, -1, "preload");
    lua_pushnil(L);
    lua_setfield(L, -2, "resty.core");

    lua_getfield(L, -2, "loaded");
    lua_pushnil(L);
    lua_setfield(L, -2, "resty.core");

    lua_getglobal(L, "require");
    lua_pushliteral(L, "resty.core");
    lua_call(L, 1, 1);

    lua_getglobal(L, "require");
    lua_pushliteral(L, "resty.ffi");
    lua_call(L, 1, 0);

    return 1;
}


/* one module under two names */
static int
ngx_ffi_lua_resty_ffi(lua_State *L)
{
    const luaL_Reg  *f;

    lua_getfield(L, LUA_REGISTRYINDEX, "ngx_http_lua_ffi");
    if (!lua_isnil(L, -1)) {
        return 1;
    }

    if (luaL_loadbuffer(L, (const char *) ngx_ffi_lua_source,
                        sizeof(ngx_ffi_lua_source) - 1,
                        "@resty/ffi.lua")
        != 0)
    {
        return lua_error(L);
    }

    lua_createtable(L, 0, 8);

    for (f = ngx_ffi_lua_core; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }

    lua_pushliteral(L, RESTY_FFI_VERSION);
    lua_setfield(L, -2, "version");

    lua_call(L, 1, 1);

    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "ngx_http_lua_ffi");

    return 1;
}


/*
 * submit(id, req, method, timeout)
 * Returns a task, after which wait and take must be called; or nil and why
 * the call was not made.
 */
static int
ngx_ffi_lua_core_submit(lua_State *L)
{
    size_t                   len, method_len, errlen;
    u_char                   err[NGX_HTTP_FFI_ERR_LEN];
    const char              *req, *method, *unfit;
    ngx_msec_t               ms;
    bridge_task_t           *t;
    ngx_http_request_t      *r;
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_serving((uint64_t) lua_tonumber(L, 1));
    if (rt == NULL) {
        lua_pushnil(L);
        lua_pushliteral(L, NGX_HTTP_FFI_FINISHED);
        return 2;
    }

    r = ngx_http_lua_get_request(L);
    if (r == NULL) {
        lua_pushnil(L);
        lua_pushliteral(L, "no request here: a call needs a coroutine that "
                        "can wait");
        return 2;
    }

    len = 0;
    req = lua_tolstring(L, 2, &len);

    if (len > rt->load.max_request) {
        lua_pushnil(L);
        lua_pushliteral(L, "request too large");
        return 2;
    }

    if (bridge_queue_full(rt->requests)) {
        ngx_ffi_lua_log_full(r, rt);
        lua_pushnil(L);
        lua_pushliteral(L, NGX_HTTP_FFI_FULL);
        return 2;
    }

    ms = ngx_ffi_lua_timeout(L, 4, r, rt);

    unfit = ngx_http_ffi_unfit(rt, ms);
    if (unfit) {
        lua_pushnil(L);
        lua_pushstring(L, unfit);
        return 2;
    }

    method_len = 0;
    method = lua_tolstring(L, 3, &method_len);

    t = bridge_task_new(bridge_host(), req, len, method, method_len);
    if (t == NULL) {
        lua_pushnil(L);
        lua_pushliteral(L, "no memory, or too many calls without an answer");
        return 2;
    }

    errlen = sizeof(err);

    if (ngx_ffi_lua_wait(L, r, t, ms, rt->load.max_response, err,
                         &errlen)
        != NGX_OK)
    {
        bridge_task_free(bridge_host(), t, 0);
        return ngx_ffi_lua_fail(L, err, errlen);
    }

    (void) bridge_put(rt->requests, t);
    ngx_http_ffi_wake_later(&rt->wake);

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "lua ffi: call %uL put to runtime %p: %uz bytes, %M ms",
                   bridge_task_id(t), rt, len, ms);

    lua_pushnumber(L, (lua_Number) bridge_task_id(t));

    return 1;
}


/* the call's own, the load's, the location's, the runtime's */
static ngx_msec_t
ngx_ffi_lua_timeout(lua_State *L, int index, ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt)
{
    ngx_msec_t               ms;
    ngx_ffi_lua_loc_conf_t  *flcf;

    ms = ngx_ffi_lua_msec(L, index);

    if (ms == NGX_CONF_UNSET_MSEC) {
        ms = rt->load.timeout;
    }

    if (ms == NGX_CONF_UNSET_MSEC) {
        flcf = ngx_http_get_module_loc_conf(r, ngx_http_lua_ffi_module);
        ms = flcf->timeout;
    }

    if (ms == NGX_CONF_UNSET_MSEC) {
        ms = (ngx_msec_t) atomic_load_explicit(&rt->requests->timeout,
                                               memory_order_relaxed);
    }

    return ms;
}


static int
ngx_ffi_lua_core_wait(lua_State *L)
{
    return lua_yield(L, 0);
}


static int
ngx_ffi_lua_core_take(lua_State *L)
{
    return ngx_ffi_lua_take(L, (uint64_t) lua_tonumber(L, 1));
}


static int
ngx_ffi_lua_core_alive(lua_State *L)
{
    lua_pushboolean(L, ngx_http_ffi_serving((uint64_t)
                                            lua_tonumber(L, 1)) != NULL);

    return 1;
}


static int
ngx_ffi_lua_core_unload(lua_State *L)
{
    ngx_http_ffi_unload((uint64_t) lua_tonumber(L, 1));

    return 0;
}


static void
ngx_ffi_lua_log_full(ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name;

    if (!ngx_http_ffi_may_log(&rt->full)) {
        return;
    }

    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "lua ffi: queue of \"%V\" is full (%uD requests): the "
                  "runtime is slower than its callers, see max_queue",
                  &name, rt->requests->limit);
}
