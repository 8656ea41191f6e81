/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_out.h"


#define NGX_HTTP_FFI_STATUS_PIECE  16384
#define NGX_HTTP_FFI_STATUS_LINE   1024


static ngx_buf_t *ngx_http_ffi_status_room(ngx_http_ffi_status_out_t *out,
    size_t len);


void
ngx_http_ffi_status_write(ngx_http_ffi_status_out_t *out, const u_char *data,
    size_t len)
{
    ngx_buf_t  *b;

    b = ngx_http_ffi_status_room(out, len);

    if (b) {
        b->last = ngx_cpymem(b->last, data, len);
        out->size += (off_t) len;
    }
}


void ngx_cdecl
ngx_http_ffi_status_printf(ngx_http_ffi_status_out_t *out,
    const char *fmt, ...)
{
    u_char     *last;
    va_list     args;
    ngx_buf_t  *b;

    b = ngx_http_ffi_status_room(out, NGX_HTTP_FFI_STATUS_LINE);

    if (b == NULL) {
        return;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(b->last, b->last + NGX_HTTP_FFI_STATUS_LINE, fmt,
                         args);
    va_end(args);

    out->size += last - b->last;
    b->last = last;
}


/* a buffer with that much room; NULL where memory ran out */
static ngx_buf_t *
ngx_http_ffi_status_room(ngx_http_ffi_status_out_t *out, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (out->last) {
        b = out->last->buf;

        if ((size_t) (b->end - b->last) >= len) {
            return b;
        }
    }

    b = ngx_create_temp_buf(out->pool,
                            ngx_max(len, NGX_HTTP_FFI_STATUS_PIECE));
    cl = ngx_alloc_chain_link(out->pool);

    if (b == NULL || cl == NULL) {
        out->nomem = 1;
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    if (out->last) {
        out->last->next = cl;

    } else {
        out->first = cl;
    }

    out->last = cl;

    return b;
}


void
ngx_http_ffi_status_seconds(ngx_http_ffi_status_out_t *out, uint64_t us)
{
    u_char  text[NGX_INT64_LEN + 8], *last;

    last = ngx_sprintf(text, "%uL.%06uL", us / 1000000, us % 1000000);

    /* "1.0", as OpenMetrics has the bounds of buckets */

    while (last[-1] == '0' && last[-2] != '.') {
        last--;
    }

    ngx_http_ffi_status_write(out, text, (size_t) (last - text));
}


void
ngx_http_ffi_status_quote(ngx_http_ffi_status_out_t *out,
    const ngx_str_t *text, ngx_uint_t json)
{
    size_t   i;
    u_char   c, *p;
    u_char   quoted[NGX_HTTP_FFI_STATUS_LINE];

    p = quoted;
    *p++ = '"';

    for (i = 0; i < text->len; i++) {
        c = text->data[i];

        /* at most six bytes for each, and the last quote */

        if (p > quoted + sizeof(quoted) - 7) {
            ngx_http_ffi_status_write(out, quoted, (size_t) (p - quoted));
            p = quoted;
        }

        if (c == '"' || c == '\\') {
            *p++ = '\\';
            *p++ = c;

        } else if (c == '\n') {
            *p++ = '\\';
            *p++ = 'n';

        } else if (json && (c < ' ' || c == '<' || c == 0x7f)) {
            p = ngx_sprintf(p, "\\u%04xd", (int) c);

        } else {
            *p++ = c;
        }
    }

    *p++ = '"';

    ngx_http_ffi_status_write(out, quoted, (size_t) (p - quoted));
}


ngx_int_t
ngx_http_ffi_status_end(ngx_http_ffi_status_out_t *out, ngx_uint_t is_main)
{
    if (ngx_http_ffi_status_room(out, 1) == NULL || out->nomem) {
        return NGX_ERROR;
    }

    out->last->buf->last_buf = is_main ? 1 : 0;
    out->last->buf->last_in_chain = 1;

    return NGX_OK;
}
