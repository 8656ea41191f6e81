/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_conf.h"
#include "ngx_ffi_lua_request.h"


typedef struct {
    ngx_queue_t  owned;
} ngx_ffi_lua_ctx_t;


static ngx_ffi_lua_ctx_t *ngx_ffi_lua_get_ctx(ngx_http_request_t *r);
static void ngx_ffi_lua_request_cleanup(void *data);


ngx_int_t
ngx_ffi_lua_own(ngx_http_request_t *r, ngx_ffi_lua_owned_t *o)
{
    ngx_ffi_lua_ctx_t  *ctx;

    ctx = ngx_ffi_lua_get_ctx(r->main);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&ctx->owned, &o->queue);

    return NGX_OK;
}


static ngx_ffi_lua_ctx_t *
ngx_ffi_lua_get_ctx(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;
    ngx_ffi_lua_ctx_t   *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lua_ffi_module);
    if (ctx) {
        return ctx;
    }

    /* an internal redirect has cleared the context, or there was none */

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_ffi_lua_request_cleanup) {
            ctx = cln->data;
            break;
        }
    }

    if (ctx == NULL) {
        cln = ngx_http_cleanup_add(r, sizeof(ngx_ffi_lua_ctx_t));
        if (cln == NULL) {
            return NULL;
        }

        cln->handler = ngx_ffi_lua_request_cleanup;

        ctx = cln->data;
        ngx_queue_init(&ctx->owned);
    }

    ngx_http_set_ctx(r, ctx, ngx_http_lua_ffi_module);

    return ctx;
}


static void
ngx_ffi_lua_request_cleanup(void *data)
{
    ngx_queue_t          *q;
    ngx_ffi_lua_ctx_t    *ctx;
    ngx_ffi_lua_owned_t  *o;

    ctx = data;

    while (!ngx_queue_empty(&ctx->owned)) {
        q = ngx_queue_head(&ctx->owned);
        ngx_queue_remove(q);

        o = ngx_queue_data(q, ngx_ffi_lua_owned_t, queue);
        o->end(o);
    }
}
