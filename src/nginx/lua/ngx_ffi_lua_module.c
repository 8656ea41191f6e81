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
#include "stream.h"


static ngx_int_t ngx_ffi_lua_init(ngx_conf_t *cf);
static void *ngx_ffi_lua_create_loc_conf(ngx_conf_t *cf);
static char *ngx_ffi_lua_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_ffi_lua_check_buffer(ngx_conf_t *cf, void *post,
    void *data);
static ngx_int_t ngx_ffi_lua_init_process(ngx_cycle_t *cycle);
static void ngx_ffi_lua_quit(ngx_msec_t abort, ngx_msec_t end);
static void ngx_ffi_lua_exit_process(ngx_cycle_t *cycle);


static ngx_http_ffi_quit_t  ngx_ffi_lua_quit_handler = {
    ngx_ffi_lua_quit, NULL
};


static ngx_conf_post_t  ngx_ffi_lua_buffer_post = {
    ngx_ffi_lua_check_buffer
};


static ngx_command_t  ngx_ffi_lua_commands[] = {

    { ngx_string("ffi_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_ffi_lua_loc_conf_t, timeout),
      NULL },

    { ngx_string("ffi_load_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_ffi_lua_loc_conf_t, load_timeout),
      NULL },

    { ngx_string("ffi_stream_buffer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_ffi_lua_loc_conf_t, stream_buffer),
      &ngx_ffi_lua_buffer_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_ffi_lua_module_ctx = {
    ngx_ffi_lua_init,                      /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_ffi_lua_create_loc_conf,           /* create location configuration */
    ngx_ffi_lua_merge_loc_conf             /* merge location configuration */
};


ngx_module_t  ngx_http_lua_ffi_module = {
    NGX_MODULE_V1,
    &ngx_ffi_lua_module_ctx,               /* module context */
    ngx_ffi_lua_commands,                  /* module directives */
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


static void *
ngx_ffi_lua_create_loc_conf(ngx_conf_t *cf)
{
    ngx_ffi_lua_loc_conf_t  *flcf;

    flcf = ngx_pcalloc(cf->pool, sizeof(ngx_ffi_lua_loc_conf_t));
    if (flcf == NULL) {
        return NULL;
    }

    flcf->timeout = NGX_CONF_UNSET_MSEC;
    flcf->load_timeout = NGX_CONF_UNSET_MSEC;
    flcf->stream_buffer = NGX_CONF_UNSET_SIZE;

    return flcf;
}


static char *
ngx_ffi_lua_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_ffi_lua_loc_conf_t  *prev = parent;
    ngx_ffi_lua_loc_conf_t  *conf = child;

    (void) cf;

    /* where nothing is said, it is the runtime's */

    ngx_conf_merge_msec_value(conf->timeout, prev->timeout,
                              NGX_CONF_UNSET_MSEC);
    ngx_conf_merge_msec_value(conf->load_timeout, prev->load_timeout, 60000);
    ngx_conf_merge_size_value(conf->stream_buffer, prev->stream_buffer,
                              BRIDGE_STREAM_HIGH);

    return NGX_CONF_OK;
}


static char *
ngx_ffi_lua_check_buffer(ngx_conf_t *cf, void *post, void *data)
{
    size_t  *size;

    (void) cf;
    (void) post;

    size = data;

    return *size ? NGX_CONF_OK : "must not be 0";
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
