/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_conf.h"
#include "ngx_http_ffi_pass_page.h"


static ngx_buf_t *ngx_http_ffi_pass_page_body(ngx_pool_t *pool,
    ngx_int_t status, ngx_str_t *text);
static ngx_int_t ngx_http_ffi_pass_page_head(ngx_http_request_t *r,
    ngx_int_t status, off_t length);


ngx_int_t
ngx_http_ffi_pass_page(ngx_http_request_t *r, ngx_int_t status,
    ngx_str_t *text)
{
    ngx_int_t                       rc;
    ngx_buf_t                      *b;
    ngx_chain_t                     out;
    ngx_http_ffi_pass_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_ffi_pass_module);

    if (!pmcf->show_errors || text->len == 0) {
        return status;
    }

    b = ngx_http_ffi_pass_page_body(r->pool, status, text);
    if (b == NULL) {
        return status;
    }

    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_ffi_pass_page_head(r, status, b->last - b->pos);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static ngx_buf_t *
ngx_http_ffi_pass_page_body(ngx_pool_t *pool, ngx_int_t status,
    ngx_str_t *text)
{
    size_t      size;
    ngx_buf_t  *b;

    static const char  before[] =
        "<!doctype html><meta charset=\"utf-8\"><title>%i</title>\n"
        "<pre style=\"white-space: pre-wrap\">";
    static const char  after[] = "</pre>\n";

    size = sizeof(before) + NGX_INT64_LEN + text->len
           + ngx_escape_html(NULL, text->data, text->len) + sizeof(after);

    b = ngx_create_temp_buf(pool, size);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_sprintf(b->last, before, status);
    b->last = (u_char *) ngx_escape_html(b->last, text->data, text->len);
    b->last = ngx_cpymem(b->last, after, sizeof(after) - 1);

    return b;
}


static ngx_int_t
ngx_http_ffi_pass_page_head(ngx_http_request_t *r, ngx_int_t status,
    off_t length)
{
    r->headers_out.status = status;
    r->headers_out.content_length_n = length;

    ngx_str_set(&r->headers_out.content_type, "text/html");
    ngx_str_set(&r->headers_out.charset, "utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_send_header(r);
}
