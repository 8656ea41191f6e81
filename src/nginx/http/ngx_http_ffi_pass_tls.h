/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef NGX_HTTP_FFI_PASS_TLS_H
#define NGX_HTTP_FFI_PASS_TLS_H

/* What an application is told of a request's TLS connection. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)

/* As of resty_ffi_tls_t; zeroed where there is no TLS. */
typedef struct {
    ngx_uint_t  version;
    ngx_uint_t  cipher;
    ngx_str_t   client_cert;
    ngx_str_t   client_name;
    ngx_str_t   client_error;
} ngx_http_ffi_pass_tls_t;

/* Texts are in the request's pool.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_ffi_pass_tls(ngx_http_request_t *r,
    ngx_http_ffi_pass_tls_t *tls);

#pragma GCC visibility pop

#endif /* NGX_HTTP_FFI_PASS_TLS_H */
