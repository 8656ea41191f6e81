/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_HOST_H_INCLUDED_
#define _NGX_FFI_LUA_HOST_H_INCLUDED_

/*
 * What this module needs of the lua module: functions it exports, which are
 * public (src/api) or what lua-resty-core's ngx.semaphore is built on, and one
 * that is only compared with.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>


typedef struct ngx_http_lua_sema_s  ngx_http_lua_sema_t;


/* NULL outside of any request, timer or init_worker */
ngx_http_request_t *ngx_http_lua_get_request(lua_State *L);

ngx_int_t ngx_http_lua_add_package_preload(ngx_conf_t *cf,
    const char *package, lua_CFunction func);

int ngx_http_lua_ffi_sema_new(ngx_http_lua_sema_t **psem, int n,
    char **errmsg);
int ngx_http_lua_ffi_sema_post(ngx_http_lua_sema_t *sem, int n);

/* resources less waiters */
int ngx_http_lua_ffi_sema_count(ngx_http_lua_sema_t *sem);

/*
 * NGX_AGAIN: armed, the coroutine must yield now and is resumed with true,
 * or false and "timeout"; NGX_DECLINED: wait_ms is 0 and nothing there;
 * NGX_ERROR: err says why not.
 */
int ngx_http_lua_ffi_sema_wait(ngx_http_request_t *r,
    ngx_http_lua_sema_t *sem, int wait_ms, u_char *err, size_t *errlen);

void ngx_http_lua_ffi_sema_gc(ngx_http_lua_sema_t *sem);

/* the handler of a subrequest that Lua captures */
ngx_int_t ngx_http_lua_post_subrequest(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


#endif /* _NGX_FFI_LUA_HOST_H_INCLUDED_ */
