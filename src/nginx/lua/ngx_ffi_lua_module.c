/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_api.h"
#include "ngx_ffi_lua_conf.h"
#include "ngx_ffi_lua_sema.h"
#include "ngx_ffi_lua_stream.h"
#include "ngx_ffi_lua_waiter.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_process.h"


static ngx_int_t ngx_ffi_lua_init(ngx_conf_t *cf);
static ngx_int_t ngx_ffi_lua_init_process(ngx_cycle_t *cycle);
static void ngx_ffi_lua_quit(ngx_msec_t abort, ngx_msec_t end);
static void ngx_ffi_lua_exit_process(ngx_cycle_t *cycle);


static ngx_http_ffi_quit_t  ngx_ffi_lua_quit_handler = {
    ngx_ffi_lua_quit, NULL, NULL
};


static ngx_http_module_t  ngx_ffi_lua_module_ctx = {
    ngx_ffi_lua_init,                      /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_lua_ffi_module = {
    NGX_MODULE_V1,
    &ngx_ffi_lua_module_ctx,               /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_ffi_lua_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_ffi_lua_exit_process,              /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_ffi_lua_init(ngx_conf_t *cf)
{
    return ngx_ffi_lua_preload(cf);
}


static ngx_int_t
ngx_ffi_lua_init_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    ngx_http_ffi_on_quit(&ngx_ffi_lua_quit_handler);

    return NGX_OK;
}


static void
ngx_ffi_lua_quit(ngx_msec_t abort, ngx_msec_t end)
{
    ngx_ffi_lua_abort_waits_after(abort);

    if (end) {
        ngx_ffi_lua_end_waits_after(end);
    }
}


/* before the core's, which unloads the runtimes: nginx's order of modules */
static void
ngx_ffi_lua_exit_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    if (ngx_http_ffi_event_ready()) {
        ngx_ffi_lua_waiters_exit();
        ngx_ffi_lua_streams_exit();
        ngx_ffi_lua_semas_exit();
    }
}
