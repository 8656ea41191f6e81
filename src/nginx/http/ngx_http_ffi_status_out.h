/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_OUT_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_OUT_H_INCLUDED_

/* A text that grows, as a chain of buffers in a pool. */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/* Zeroed at first, but for its pool. */
typedef struct {
    ngx_pool_t    *pool;
    ngx_chain_t   *first;
    ngx_chain_t   *last;
    off_t          size;        /* bytes */
    unsigned       nomem:1;     /* some are lost */
} ngx_http_ffi_status_out_t;


/* Adds bytes. */
void ngx_http_ffi_status_write(ngx_http_ffi_status_out_t *out,
    const u_char *data, size_t len);

/* Adds what ngx_sprintf makes of it: at most 1 KiB. */
void ngx_cdecl ngx_http_ffi_status_printf(ngx_http_ffi_status_out_t *out,
    const char *fmt, ...);

/* Adds seconds, to the microsecond. */
void ngx_http_ffi_status_seconds(ngx_http_ffi_status_out_t *out, uint64_t us);

/*
 * Adds UTF-8 between quotes: as JSON has it; or as label values of Prometheus,
 * which escape backslash, quote and newline, and nothing else.
 */
void ngx_http_ffi_status_quote(ngx_http_ffi_status_out_t *out,
    const ngx_str_t *text, ngx_uint_t json);

/* The end of the text: marks the last buffer, which it makes if need be. */
ngx_int_t ngx_http_ffi_status_end(ngx_http_ffi_status_out_t *out,
    ngx_uint_t is_main);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_OUT_H_INCLUDED_ */
