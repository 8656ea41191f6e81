/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_conf.h"
#include "ngx_ffi_lua_pipe.h"


/*
 * A body filter before all others, a module of its own: what is not the
 * pipe's cannot be sent while a pipe runs, and what a pipe has broken does
 * not end cleanly.
 */


static ngx_int_t ngx_ffi_lua_filter_init(ngx_conf_t *cf);
static ngx_int_t ngx_ffi_lua_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_uint_t ngx_ffi_lua_is_last(ngx_chain_t *in);
static void ngx_ffi_lua_leave_open(ngx_chain_t *in);
static ngx_int_t ngx_ffi_lua_refuse_output(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_module_t  ngx_ffi_lua_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_ffi_lua_filter_init,               /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_lua_ffi_filter_module = {
    NGX_MODULE_V1,
    &ngx_ffi_lua_filter_module_ctx,        /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_body_filter_pt  ngx_ffi_lua_next_body_filter;


static ngx_int_t
ngx_ffi_lua_filter_init(ngx_conf_t *cf)
{
    (void) cf;

    ngx_ffi_lua_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_ffi_lua_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_ffi_lua_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t            rc;
    ngx_ffi_lua_pipe_t  *p;

    p = ngx_ffi_lua_get_pipe(r, 0);

    if (p == NULL || p->outlet.writing) {
        return ngx_ffi_lua_next_body_filter(r, in);
    }

    if (in && (ngx_ffi_lua_pipe_runs(p) || p->outlet.broken)) {

        if (!ngx_ffi_lua_is_last(in)) {
            rc = ngx_ffi_lua_refuse_output(r, in);
            ngx_ffi_lua_pipe_sent(p);
            return rc;
        }

        ngx_ffi_lua_pipe_fail(p, "the response was ended");
        ngx_ffi_lua_leave_open(in);
    }

    rc = ngx_ffi_lua_next_body_filter(r, in);
    ngx_ffi_lua_pipe_sent(p);

    return rc;
}


static ngx_uint_t
ngx_ffi_lua_is_last(ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        if (in->buf->last_buf || in->buf->last_in_chain) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_ffi_lua_leave_open(ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        if (in->buf->last_buf || in->buf->last_in_chain) {
            in->buf->last_buf = 0;
            in->buf->last_in_chain = 0;
            in->buf->flush = 1;
        }
    }
}


/* NGX_ERROR would end the whole connection */
static ngx_int_t
ngx_ffi_lua_refuse_output(ngx_http_request_t *r, ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        if (ngx_buf_size(in->buf) != 0) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    /* a flush, also of the lua module's own when the client can be written
     * to */

    if (r->connection->buffered
        && ngx_ffi_lua_next_body_filter(r, NULL) == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}
