/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <lua.h>

#include "ngx_ffi_lua_stats.h"
#include "ngx_http_ffi_status_read.h"


static int ngx_ffi_lua_push_stats(lua_State *L);
static void ngx_ffi_lua_set_workers(lua_State *L, ngx_array_t *workers);
static void ngx_ffi_lua_set_runtimes(lua_State *L,
    ngx_http_ffi_status_t *status);
static void ngx_ffi_lua_push_row(lua_State *L, ngx_str_t *name,
    ngx_http_ffi_counts_t *c);
static void ngx_ffi_lua_set_times(lua_State *L, const char *name,
    ngx_http_ffi_histogram_t *h);
static void ngx_ffi_lua_set_number(lua_State *L, const char *name,
    lua_Number value);
static void ngx_ffi_lua_set_string(lua_State *L, const char *name,
    ngx_str_t *value);


int
ngx_ffi_lua_stats(lua_State *L)
{
    int                     failed;
    ngx_int_t               rc;
    ngx_pool_t             *pool;
    ngx_http_ffi_status_t   status;

    /* first: it may throw for want of memory */
    lua_pushcfunction(L, ngx_ffi_lua_push_stats);

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);

    rc = pool ? ngx_http_ffi_status_read(pool, &status) : NGX_ERROR;

    if (rc != NGX_OK) {
        if (pool) {
            ngx_destroy_pool(pool);
        }

        lua_pushnil(L);

        if (rc == NGX_DECLINED) {
            lua_pushliteral(L, "nothing is counted here: see "
                            "ffi_status_zone");
        } else {
            lua_pushliteral(L, "no memory");
        }

        return 2;
    }

    lua_pushlightuserdata(L, &status);

    failed = lua_pcall(L, 1, 1, 0);

    ngx_destroy_pool(pool);

    return failed ? lua_error(L) : 1;
}


static int
ngx_ffi_lua_push_stats(lua_State *L)
{
    ngx_uint_t              i;
    ngx_http_ffi_status_t  *status;

    status = lua_touserdata(L, 1);

    lua_createtable(L, 0, 9);

    ngx_ffi_lua_set_number(L, "reloads",
                           (lua_Number) (status->generation - 1));
    ngx_ffi_lua_set_number(L, "restarts", (lua_Number) status->restarts);
    ngx_ffi_lua_set_number(L, "replaced",
                           (lua_Number) (status->replaced[0]
                                         + status->replaced[1]));

    lua_createtable(L, 0, 3);
    ngx_ffi_lua_set_number(L, "size", (lua_Number) status->size);
    ngx_ffi_lua_set_number(L, "free", (lua_Number) status->free);
    ngx_ffi_lua_set_number(L, "full", (lua_Number) status->full);
    lua_setfield(L, -2, "zone");

    lua_createtable(L, NGX_HTTP_FFI_STATUS_BOUNDS, 0);

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BOUNDS; i++) {
        lua_pushnumber(L, (lua_Number) ngx_http_ffi_status_bounds[i] / 1e6);
        lua_rawseti(L, -2, (int) i + 1);
    }

    lua_setfield(L, -2, "bounds");

    ngx_ffi_lua_set_workers(L, &status->workers);
    ngx_ffi_lua_set_runtimes(L, status);

    return 1;
}


static void
ngx_ffi_lua_set_workers(lua_State *L, ngx_array_t *workers)
{
    ngx_uint_t                      i;
    ngx_http_ffi_status_process_t  *p;

    p = workers->elts;

    lua_createtable(L, (int) workers->nelts, 0);

    for (i = 0; i < workers->nelts; i++) {
        lua_createtable(L, 0, 7);

        ngx_ffi_lua_set_number(L, "worker", (lua_Number) p[i].worker);
        ngx_ffi_lua_set_number(L, "pid", (lua_Number) p[i].pid);
        ngx_ffi_lua_set_number(L, "generation", (lua_Number) p[i].generation);
        ngx_ffi_lua_set_number(L, "started", (lua_Number) p[i].started);
        ngx_ffi_lua_set_number(L, "threads", (lua_Number) p[i].threads);
        ngx_ffi_lua_set_number(L, "resident_bytes",
                               (lua_Number) p[i].resident);
        ngx_ffi_lua_set_string(L, "runtime", &p[i].about);

        lua_rawseti(L, -2, (int) i + 1);
    }

    lua_setfield(L, -2, "workers");
}


static void
ngx_ffi_lua_set_runtimes(lua_State *L, ngx_http_ffi_status_t *status)
{
    int                         n;
    ngx_uint_t                  i;
    ngx_http_ffi_status_row_t  *rt, *m, *last;

    rt = status->runtimes.elts;
    m = status->methods.elts;
    last = m + status->methods.nelts;

    lua_createtable(L, (int) status->runtimes.nelts, 0);

    for (i = 0; i < status->runtimes.nelts; i++) {
        ngx_ffi_lua_push_row(L, &rt[i].runtime, rt[i].counts);

        ngx_ffi_lua_set_number(L, "queued", (lua_Number)
                               ngx_http_ffi_get(&rt[i].counts->queued));
        ngx_ffi_lua_set_number(L, "queued_max", (lua_Number)
                               ngx_http_ffi_get(&rt[i].counts->high_water));
        ngx_ffi_lua_set_number(L, "reloads", (lua_Number)
                               ngx_http_ffi_get(&rt[i].counts->reloads));

        lua_createtable(L, 0, 2);
        ngx_ffi_lua_set_number(L, "count", (lua_Number)
                               ngx_http_ffi_get(&rt[i].counts->locks));
        ngx_ffi_lua_set_number(L, "sum", (lua_Number)
                               ngx_http_ffi_get(&rt[i].counts->lock_us) / 1e6);
        lua_setfield(L, -2, "lock_wait");

        lua_newtable(L);

        /* they are in the same order */

        for (n = 1; m < last && m->runtime.data == rt[i].runtime.data; m++) {
            ngx_ffi_lua_push_row(L, &m->method, m->counts);
            lua_rawseti(L, -2, n++);
        }

        lua_setfield(L, -2, "methods");
        lua_rawseti(L, -2, (int) i + 1);
    }

    lua_setfield(L, -2, "runtimes");
}


static void
ngx_ffi_lua_push_row(lua_State *L, ngx_str_t *name, ngx_http_ffi_counts_t *c)
{
    ngx_uint_t  i;

    lua_createtable(L, 0, 16);

    ngx_ffi_lua_set_string(L, "name", name);

    for (i = 0; i < NGX_HTTP_FFI_NOUTCOMES; i++) {
        ngx_ffi_lua_set_number(L, ngx_http_ffi_outcomes[i], (lua_Number)
                               ngx_http_ffi_get(&c->outcomes[i]));
    }

    ngx_ffi_lua_set_number(L, "in_flight", (lua_Number)
                           ngx_http_ffi_get(&c->in_flight));
    ngx_ffi_lua_set_number(L, "request_bytes", (lua_Number)
                           ngx_http_ffi_get(&c->bytes_in));
    ngx_ffi_lua_set_number(L, "response_bytes", (lua_Number)
                           ngx_http_ffi_get(&c->bytes_out));

    ngx_ffi_lua_set_times(L, "wait", &c->waiting);
    ngx_ffi_lua_set_times(L, "run", &c->running);
    ngx_ffi_lua_set_times(L, "duration", &c->total);
}


static void
ngx_ffi_lua_set_times(lua_State *L, const char *name,
    ngx_http_ffi_histogram_t *h)
{
    ngx_uint_t  i;

    lua_createtable(L, 0, 3);

    ngx_ffi_lua_set_number(L, "count",
                           (lua_Number) ngx_http_ffi_status_count(h));
    ngx_ffi_lua_set_number(L, "sum",
                           (lua_Number) ngx_http_ffi_get(&h->us) / 1e6);

    lua_createtable(L, NGX_HTTP_FFI_STATUS_BUCKETS, 0);

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BUCKETS; i++) {
        lua_pushnumber(L, (lua_Number) ngx_http_ffi_get(&h->buckets[i]));
        lua_rawseti(L, -2, (int) i + 1);
    }

    lua_setfield(L, -2, "buckets");
    lua_setfield(L, -2, name);
}


static void
ngx_ffi_lua_set_number(lua_State *L, const char *name, lua_Number value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}


static void
ngx_ffi_lua_set_string(lua_State *L, const char *name, ngx_str_t *value)
{
    lua_pushlstring(L, (char *) value->data, value->len);
    lua_setfield(L, -2, name);
}
