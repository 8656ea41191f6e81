/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_fields.h"
#include "ngx_http_ffi_pass_hints.h"


static ngx_int_t ngx_http_ffi_pass_hint(ngx_http_ffi_pass_t *p,
    bridge_head_t *h);


ngx_int_t
ngx_http_ffi_pass_send_hints(ngx_http_ffi_pass_t *p)
{
    ngx_int_t       rc;
    bridge_head_t  *h;

    rc = NGX_OK;

    while ((h = p->hints) != NULL) {
        p->hints = (bridge_head_t *) h->node.next;

        if (rc == NGX_OK && !p->lost) {
            rc = ngx_http_ffi_pass_hint(p, h);
        }

        bridge_head_free(h);
    }

    if (rc != NGX_OK) {
        ngx_http_ffi_pass_lost(p, rc);
    }

    return rc;
}


#if (nginx_version >= 1029000)

static ngx_int_t
ngx_http_ffi_pass_hint(ngx_http_ffi_pass_t *p, bridge_head_t *h)
{
    ngx_int_t            rc;
    ngx_list_t           headers;
    ngx_http_request_t  *r;

    r = p->request;

    /* what other modules have put there is for the answer */

    headers = r->headers_out.headers;

    rc = ngx_list_init(&r->headers_out.headers, r->pool, 4,
                       sizeof(ngx_table_elt_t));

    if (rc == NGX_OK) {
        rc = ngx_http_ffi_pass_list(&r->headers_out.headers, h,
                                    p->conf->hide_headers);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_send_early_hints(r);
    }

    r->headers_out.headers = headers;

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}

#else

static ngx_int_t
ngx_http_ffi_pass_hint(ngx_http_ffi_pass_t *p, bridge_head_t *h)
{
    return NGX_OK;
}

#endif
