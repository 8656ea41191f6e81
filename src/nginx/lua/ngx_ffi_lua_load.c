/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lauxlib.h>
#include <lua.h>
#include <math.h>

#include "abi.h"
#include "end.h"
#include "resty_ffi.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_load.h"
#include "ngx_ffi_lua_sema.h"
#include "ngx_ffi_lua_waiter.h"
#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_load.h"


static void ngx_ffi_lua_get_load(lua_State *L,
    ngx_http_ffi_load_t *load);
static lua_Number ngx_ffi_lua_number(lua_State *L, const char *name,
    lua_Number missing);
static ngx_uint_t ngx_ffi_lua_flag(lua_State *L, const char *name);
static int ngx_ffi_lua_await(lua_State *L, ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt);


int
ngx_ffi_lua_core_load(lua_State *L)
{
    size_t                   len;
    u_char                   err[NGX_HTTP_FFI_ERR_LEN];
    ngx_http_request_t      *r;
    ngx_http_ffi_load_t      load;
    ngx_http_ffi_runtime_t  *rt;

    r = ngx_http_lua_get_request(L);
    if (r == NULL) {
        lua_pushnil(L);
        lua_pushliteral(L, "cannot load here, before nginx has forked its "
                        "workers (init_by_lua): load in init_worker_by_lua "
                        "or at the first request");
        return 2;
    }

    ngx_ffi_lua_get_load(L, &load);

    if (ngx_strlchr(load.lib.data, load.lib.data + load.lib.len, '\0')) {
        lua_pushnil(L);
        lua_pushliteral(L, "lib must not contain NUL bytes");
        return 2;
    }

    if (ngx_strlchr(load.cfg.data, load.cfg.data + load.cfg.len, '\0')) {
        lua_pushnil(L);
        lua_pushliteral(L, "cfg must not contain NUL bytes");
        return 2;
    }

    len = sizeof(err);

    rt = ngx_http_ffi_load(&load, err, &len);
    if (rt == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "FFI004: lua ffi: "
                      "cannot load \"%V\": %*s", &load.lib, len, err);
        return ngx_ffi_lua_fail(L, err, len);
    }

    return ngx_ffi_lua_await(L, r, rt);
}


int
ngx_ffi_lua_core_reload(lua_State *L)
{
    size_t                   len;
    u_char                   err[NGX_HTTP_FFI_ERR_LEN];
    ngx_http_request_t      *r;
    ngx_http_ffi_runtime_t  *rt;

    r = ngx_http_lua_get_request(L);
    if (r == NULL) {
        lua_pushnil(L);
        lua_pushliteral(L, "cannot reload here: there is no request");
        return 2;
    }

    len = sizeof(err);

    rt = ngx_http_ffi_reload((uint64_t) lua_tonumber(L, 1), err, &len);
    if (rt == NULL) {
        return ngx_ffi_lua_fail(L, err, len);
    }

    return ngx_ffi_lua_await(L, r, rt);
}


static void
ngx_ffi_lua_get_load(lua_State *L, ngx_http_ffi_load_t *load)
{
    ngx_uint_t  i;

    ngx_memzero(load, sizeof(ngx_http_ffi_load_t));

    load->lib.data = (u_char *) luaL_checklstring(L, 1, &load->lib.len);
    load->cfg.data = (u_char *) luaL_optlstring(L, 2, "", &load->cfg.len);
    load->has_cfg = lua_isstring(L, 2);

    load->max_queue = (ngx_uint_t)
                      ngx_ffi_lua_number(L, "max_queue", 65536);
    load->max_request = (size_t)
                        ngx_ffi_lua_number(L, "max_request_bytes",
                                           NGX_MAX_INT32_VALUE);
    load->max_response = (size_t)
                         ngx_ffi_lua_number(L, "max_response_bytes",
                                            NGX_MAX_INT32_VALUE);
    load->spin = (ngx_uint_t) ngx_ffi_lua_number(L, "spin", 0);
    load->is_global = ngx_ffi_lua_flag(L, "is_global");
    load->unpin = ngx_ffi_lua_flag(L, "unpin");

    lua_getfield(L, 3, "timeout");
    load->timeout = ngx_ffi_lua_msec(L, -1);
    lua_pop(L, 1);

    for (i = 0; i < BRIDGE_QUEUE_OPTIONS; i++) {
        load->options[i] = NAN;
    }

    load->options[RESTY_FFI_THREADS] =
        ngx_ffi_lua_number(L, "threads", NAN);

    load->options[RESTY_FFI_SWITCH_INTERVAL] =
        ngx_ffi_lua_number(L, "switch_interval", NAN);
}


static lua_Number
ngx_ffi_lua_number(lua_State *L, const char *name, lua_Number missing)
{
    lua_Number  value;

    lua_getfield(L, 3, name);
    value = luaL_optnumber(L, -1, missing);
    lua_pop(L, 1);

    return value;
}


static ngx_uint_t
ngx_ffi_lua_flag(lua_State *L, const char *name)
{
    ngx_uint_t  flag;

    lua_getfield(L, 3, name);
    flag = lua_toboolean(L, -1);
    lua_pop(L, 1);

    return flag;
}


ngx_msec_t
ngx_ffi_lua_msec(lua_State *L, int index)
{
    lua_Number  ms;

    if (!lua_isnumber(L, index)) {
        return NGX_CONF_UNSET_MSEC;
    }

    ms = lua_tonumber(L, index);

    if (ms > 0 && ms < 1) {
        return 1;
    }

    return ms < NGX_MAX_INT32_VALUE ? (ngx_msec_t) ms : NGX_MAX_INT32_VALUE;
}


int
ngx_ffi_lua_fail(lua_State *L, const u_char *err, size_t len)
{
    lua_pushnil(L);
    lua_pushlstring(L, (const char *) err, len);

    return 2;
}


/*
 * What load and reload return for rt, which is READY or STARTING.  Where the
 * coroutine cannot yield, the worker waits.
 */
static int
ngx_ffi_lua_await(lua_State *L, ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt)
{
    size_t                    len;
    u_char                    err[NGX_HTTP_FFI_ERR_LEN];
    ngx_int_t                 rc;
    ngx_msec_t                ms;
    bridge_task_t            *t;
    ngx_ffi_lua_waiter_t     *w;
    ngx_http_ffi_loc_conf_t  *flcf;

    if (rt->state == NGX_HTTP_FFI_READY) {
        lua_pushnumber(L, (lua_Number) ngx_http_ffi_id(rt));
        return 1;
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_ffi_module);
    ms = flcf->load_timeout;
    len = sizeof(err);

    rc = ngx_ffi_lua_can_wait(L, r, err, &len);

    if (rc == NGX_ERROR) {
        return ngx_ffi_lua_fail(L, err, len);
    }

    if (rc == NGX_DECLINED) {
        ngx_http_ffi_wait_started(rt, ms);

        if (rt->state == NGX_HTTP_FFI_READY) {
            lua_pushnumber(L, (lua_Number) ngx_http_ffi_id(rt));
            return 1;
        }

        lua_pushnil(L);

        if (rt->state == NGX_HTTP_FFI_STARTING) {
            lua_pushliteral(L, "timeout");

        } else if (rt->err.len) {
            lua_pushlstring(L, (char *) rt->err.data, rt->err.len);

        } else {
            lua_pushliteral(L, "the library could not start");
        }

        return 2;
    }

    t = bridge_task_new(bridge_host(), NULL, 0, NULL, 0);
    if (t == NULL) {
        goto nomem;
    }

    bridge_task_lend(t);

    if (ngx_http_ffi_loaders_add(&rt->loaders, t) != NGX_OK) {
        bridge_task_free(bridge_host(), t, 0);
        goto nomem;
    }

    w = ngx_ffi_lua_waiter_new(r, t);
    if (w == NULL) {
        bridge_task_free(bridge_host(), t, 0);
        goto nomem;
    }

    w->ms = ms;
    w->max = NGX_MAX_INT32_VALUE;

    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushnumber(L, (lua_Number) bridge_task_id(t));

    return 3;

nomem:

    lua_pushnil(L);
    lua_pushliteral(L, "no memory");

    return 2;
}
