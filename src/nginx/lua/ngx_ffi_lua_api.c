/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lauxlib.h>
#include <lua.h>

#include "abi.h"
#include "end.h"
#include "ffi_lua.h"
#include "ffi_respond_lua.h"
#include "ffi_stream_lua.h"
#include "ngx_ffi_lua_api.h"
#include "ngx_ffi_lua_call.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_ffi_lua_open.h"
#include "ngx_ffi_lua_pipe_api.h"
#include "ngx_ffi_lua_stats.h"
#include "ngx_ffi_lua_stream_api.h"
#include "ngx_ffi_lua_task.h"
#include "ngx_ffi_lua_waiter.h"
#include "ngx_http_ffi_load.h"
#include "stream.h"
#include "version.h"


static int ngx_ffi_lua_resty_core(lua_State *L);
static int ngx_ffi_lua_resty_ffi(lua_State *L);
static int ngx_ffi_lua_core_submit(lua_State *L);
static int ngx_ffi_lua_core_raised(lua_State *L);
static int ngx_ffi_lua_core_alive(lua_State *L);
static int ngx_ffi_lua_core_unload(lua_State *L);


static const luaL_Reg  ngx_ffi_lua_core[] = {
    { "load",            ngx_ffi_lua_core_load },
    { "reload",          ngx_ffi_lua_core_reload },
    { "submit",          ngx_ffi_lua_core_submit },
    { "start",           ngx_ffi_lua_start },
    { "take",            ngx_ffi_lua_take },
    { "raised",          ngx_ffi_lua_core_raised },
    { "alive",           ngx_ffi_lua_core_alive },
    { "unload",          ngx_ffi_lua_core_unload },
    { "stream_open",     ngx_ffi_lua_core_stream_open },
    { "stream_read",     ngx_ffi_lua_core_stream_read },
    { "stream_write",    ngx_ffi_lua_core_stream_write },
    { "stream_finish",   ngx_ffi_lua_core_stream_finish },
    { "stream_pipe",     ngx_ffi_lua_core_stream_pipe },
    { "stream_close",    ngx_ffi_lua_core_stream_close },
    { "stream_methods",  ngx_ffi_lua_core_stream_methods },
    { "stats",           ngx_ffi_lua_stats },
    { "body_arrives",    ngx_ffi_lua_core_body_arrives },
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
        != 0
        || luaL_loadbuffer(L, (const char *) ngx_ffi_lua_stream_source,
                           sizeof(ngx_ffi_lua_stream_source) - 1,
                           "@resty/ffi/stream.lua")
           != 0
        || luaL_loadbuffer(L, (const char *) ngx_ffi_lua_respond_source,
                           sizeof(ngx_ffi_lua_respond_source) - 1,
                           "@resty/ffi/respond.lua")
           != 0)
    {
        return lua_error(L);
    }

    lua_createtable(L, 0, 16);

    for (f = ngx_ffi_lua_core; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }

    lua_pushliteral(L, RESTY_FFI_VERSION);
    lua_setfield(L, -2, "version");

    lua_insert(L, -3);
    lua_call(L, 3, 1);

    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "ngx_http_lua_ffi");

    return 1;
}


/*
 * submit(id, req, method, timeout, traceparent)
 * Returns a task, to be started next; or nil and why the call is not made.
 */
static int
ngx_ffi_lua_core_submit(lua_State *L)
{
    size_t                 len;
    const char            *trace;
    bridge_task_t         *t;
    ngx_ffi_lua_asked_t    asked;
    ngx_ffi_lua_waiter_t  *w;

    t = ngx_ffi_lua_task_new(L, &asked);
    if (t == NULL) {
        return 2;
    }

    trace = lua_tolstring(L, 5, &len);
    if (trace) {
        bridge_task_set_trace(t, trace, len);
    }

    if (asked.high) {
        bridge_stream_open(t, asked.high, false);
    }

    w = ngx_ffi_lua_waiter_new(asked.request, t);
    if (w == NULL) {
        bridge_task_free(bridge_host(), t, 0);
        ngx_ffi_lua_task_refused(L, asked.runtime);

        lua_pushnil(L);
        lua_pushliteral(L, "no memory");
        return 2;
    }

    w->kept = 1;
    w->runtime = ngx_http_ffi_id(asked.runtime);
    w->ms = asked.ms;
    w->max = asked.runtime->load.max_response;

    lua_pushnumber(L, (lua_Number) bridge_task_id(t));

    return 1;
}


/* whether the coroutine, which has left a wait by an error, is to sleep */
static int
ngx_ffi_lua_core_raised(lua_State *L)
{
    ngx_http_request_t  *r;

    r = ngx_http_lua_get_request(L);

    lua_pushboolean(L, r && ngx_ffi_lua_sema_raised(L, r));

    return 1;
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
