/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_tls.h"


#if (NGX_HTTP_SSL)

static ngx_int_t ngx_http_ffi_pass_client_cert(ngx_http_request_t *r,
    ngx_http_ffi_pass_tls_t *tls);


ngx_int_t
ngx_http_ffi_pass_tls(ngx_http_request_t *r, ngx_http_ffi_pass_tls_t *tls)
{
    ngx_connection_t  *c;
    const SSL_CIPHER  *cipher;

    ngx_memzero(tls, sizeof(ngx_http_ffi_pass_tls_t));

    c = r->connection;

    if (c->ssl == NULL) {
        return NGX_OK;
    }

    tls->version = SSL_version(c->ssl->connection);

    cipher = SSL_get_current_cipher(c->ssl->connection);

    /* OpenSSL keeps a byte of its own before the two of the protocol */

    if (cipher) {
        tls->cipher = SSL_CIPHER_get_id(cipher) & 0xffff;
    }

    return ngx_http_ffi_pass_client_cert(r, tls);
}


static ngx_int_t
ngx_http_ffi_pass_client_cert(ngx_http_request_t *r,
    ngx_http_ffi_pass_tls_t *tls)
{
    ngx_str_t          verify;
    ngx_connection_t  *c;

    static ngx_str_t  failed = ngx_string("FAILED:");

    c = r->connection;

    if (ngx_ssl_get_raw_certificate(c, r->pool, &tls->client_cert) != NGX_OK) {
        return NGX_ERROR;
    }

    if (tls->client_cert.len == 0) {
        return NGX_OK;
    }

    if (ngx_ssl_get_subject_dn(c, r->pool, &tls->client_name) != NGX_OK
        || ngx_ssl_get_client_verify(c, r->pool, &verify) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (verify.len > failed.len
        && ngx_strncmp(verify.data, failed.data, failed.len) == 0)
    {
        tls->client_error.data = verify.data + failed.len;
        tls->client_error.len = verify.len - failed.len;
    }

    return NGX_OK;
}

#else

ngx_int_t
ngx_http_ffi_pass_tls(ngx_http_request_t *r, ngx_http_ffi_pass_tls_t *tls)
{
    (void) r;

    ngx_memzero(tls, sizeof(ngx_http_ffi_pass_tls_t));

    return NGX_OK;
}

#endif
