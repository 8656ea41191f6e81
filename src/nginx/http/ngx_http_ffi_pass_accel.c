/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_accel.h"
#include "ngx_http_ffi_pass_fields.h"
#include "ngx_http_ffi_status_block.h"


/* bytes of a body that nobody gets, before the runtime is told so */
#define NGX_HTTP_FFI_PASS_UNWANTED  1048576


static ngx_int_t ngx_http_ffi_pass_accel_text(ngx_http_ffi_pass_t *p,
    ngx_str_t *name, ngx_str_t *value);
static void ngx_http_ffi_pass_set_rate(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_int_t ngx_http_ffi_pass_set_charset(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_uint_t ngx_http_ffi_pass_intercepts(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_intercept(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_redirect(ngx_http_ffi_pass_t *p,
    ngx_str_t *uri);


ngx_int_t
ngx_http_ffi_pass_accel(ngx_http_ffi_pass_t *p)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    static ngx_str_t  rate = ngx_string("x-accel-limit-rate");
    static ngx_str_t  charset = ngx_string("x-accel-charset");
    static ngx_str_t  redirect = ngx_string("x-accel-redirect");

    r = p->request;

    if (ngx_http_ffi_pass_accel_text(p, &rate, &value) == NGX_OK) {
        ngx_http_ffi_pass_set_rate(r, &value);
    }

    if (ngx_http_ffi_pass_accel_text(p, &charset, &value) == NGX_OK
        && ngx_http_ffi_pass_set_charset(r, &value) != NGX_OK)
    {
        ngx_http_ffi_pass_finalize(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    if (ngx_http_ffi_pass_intercepts(p)) {
        ngx_http_ffi_pass_intercept(p);
        return NGX_DONE;
    }

    if (ngx_http_ffi_pass_accel_text(p, &redirect, &value) == NGX_OK) {
        ngx_http_ffi_pass_redirect(p, &value);
        return NGX_DONE;
    }

    return NGX_OK;
}


/* the value of the first field of the name; NGX_DECLINED: there is none */
static ngx_int_t
ngx_http_ffi_pass_accel_text(ngx_http_ffi_pass_t *p, ngx_str_t *name,
    ngx_str_t *value)
{
    size_t           i;
    bridge_field_t  *f;

    for (i = 0; i < p->head->nfields; i++) {
        f = &p->head->fields[i];

        if (f->name_len == name->len
            && ngx_memcmp(f->lower, name->data, name->len) == 0)
        {
            value->data = (u_char *) f->value;
            value->len = f->value_len;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static void
ngx_http_ffi_pass_set_rate(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_int_t  rate;

    rate = ngx_atoi(value->data, value->len);

    if (rate != NGX_ERROR) {
        r->limit_rate = (size_t) rate;
        r->limit_rate_set = 1;
    }
}


static ngx_int_t
ngx_http_ffi_pass_set_charset(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_str_t  *charset;

    charset = ngx_palloc(r->pool, sizeof(ngx_str_t));
    if (charset == NULL) {
        return NGX_ERROR;
    }

    *charset = *value;
    r->headers_out.override_charset = charset;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ffi_pass_intercepts(ngx_http_ffi_pass_t *p)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *pages;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(p->request, ngx_http_core_module);

    if (!p->conf->intercept_errors
        || p->head->status < NGX_HTTP_SPECIAL_RESPONSE
        || clcf->error_pages == NULL)
    {
        return 0;
    }

    pages = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (pages[i].status == p->head->status) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_ffi_pass_intercept(ngx_http_ffi_pass_t *p)
{
    ngx_int_t  rc;

    rc = p->head->status;

    if (rc == NGX_HTTP_UNAUTHORIZED
        && ngx_http_ffi_pass_keep_fields(p->request, p->head,
                                         p->conf->hide_headers,
                                         NGX_HTTP_FFI_KEPT_BY_ERROR)
           != NGX_OK)
    {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ffi_status_settle(p->task, NGX_HTTP_FFI_CALL_OK);
    ngx_http_ffi_pass_leave(p, NGX_HTTP_FFI_PASS_UNWANTED);
    ngx_http_ffi_pass_finalize(p, rc);
}


static void
ngx_http_ffi_pass_redirect(ngx_http_ffi_pass_t *p, ngx_str_t *uri)
{
    ngx_str_t            args;
    ngx_uint_t           flags;
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = p->request;

    if (ngx_http_ffi_pass_keep_fields(r, p->head, p->conf->hide_headers,
                                      NGX_HTTP_FFI_KEPT_BY_REDIRECT)
        != NGX_OK)
    {
        ngx_http_ffi_pass_finalize(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ffi: X-Accel-Redirect to \"%V\"", uri);

    /* the rest of the body, which is nobody's, has nobody's timeout */

    rev = r->connection->read;

    if (p->feeding && p->unbuffered && rev->timer_set) {
        ngx_del_timer(rev);
    }

    ngx_http_ffi_status_settle(p->task, NGX_HTTP_FFI_CALL_OK);
    ngx_http_ffi_pass_leave(p, NGX_HTTP_FFI_PASS_UNWANTED);

    r->read_event_handler = ngx_http_block_reading;

    if (uri->len && uri->data[0] == '@') {
        (void) ngx_http_named_location(r, uri);
        ngx_http_finalize_request(r, NGX_DONE);
        return;
    }

    ngx_str_null(&args);
    flags = NGX_HTTP_LOG_UNSAFE;

    if (ngx_http_parse_unsafe_uri(r, uri, &args, &flags) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_NOT_FOUND);
        return;
    }

    if (r->method != NGX_HTTP_HEAD) {
        r->method = NGX_HTTP_GET;
        r->method_name = ngx_http_core_get_method;
    }

    (void) ngx_http_internal_redirect(r, uri, &args);
    ngx_http_finalize_request(r, NGX_DONE);
}
