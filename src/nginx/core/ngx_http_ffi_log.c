/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_log.h"


/*
 * nginx cuts a log entry at 2048 bytes, its own prefix included; and behind
 * the last one client and request are named
 */
#define NGX_HTTP_FFI_LOG_CHUNK  1800
#define NGX_HTTP_FFI_LOG_LAST   1400


static u_char *ngx_http_ffi_log_chunk(u_char *buf, size_t *n, size_t size,
    u_char *p, u_char *last);


ngx_uint_t
ngx_http_ffi_may_log(ngx_http_ffi_limit_t *limit)
{
    if (limit->last == ngx_time()) {
        return 0;
    }

    limit->last = ngx_time();

    return 1;
}


void
ngx_http_ffi_log_lost(uint32_t lost)
{
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "FFI010: lua ffi: "
                  "%uD more lines from runtimes were dropped", lost);
}


void
ngx_http_ffi_log_line(bridge_line_t *line, ngx_log_t *log)
{
    size_t       n;
    u_char      *p, *last, *end;
    u_char       buf[NGX_HTTP_FFI_LOG_CHUNK];
    ngx_log_t    plain;
    ngx_uint_t   level;

    level = (ngx_uint_t) ngx_max(NGX_LOG_CRIT,
                                 ngx_min(line->level, NGX_LOG_DEBUG));

    if (log->log_level < level) {
        return;
    }

    plain = *log;
    plain.handler = NULL;

    p = (u_char *) line->text;
    last = p + line->len;

    while (last > p && last[-1] == '\n') {
        last--;
    }

    while (p < last) {
        end = ngx_http_ffi_log_chunk(buf, &n, sizeof(buf), p, last);

        if (end == last && n > NGX_HTTP_FFI_LOG_LAST && log->handler) {
            end = ngx_http_ffi_log_chunk(buf, &n, NGX_HTTP_FFI_LOG_LAST, p,
                                         last);
        }

        ngx_log_error(level, end == last ? log : &plain, 0, "%*s", n, buf);

        p = end;
    }
}


/*
 * Copies what fits into size bytes of buf, whole lines if there is one, and
 * returns the end of that; *n becomes what it takes.
 */
static u_char *
ngx_http_ffi_log_chunk(u_char *buf, size_t *n, size_t size, u_char *p,
    u_char *last)
{
    u_char      *to, *line, *line_to, *whole, *whole_to;
    ngx_uint_t   control, wide;

    to = buf;
    line = whole = NULL;
    line_to = whole_to = NULL;

    for ( /* void */ ; p < last; p++) {

        /* the second byte of U+0080 to U+009F in UTF-8 */

        wide = *p >= 0x80 && *p < 0xa0 && to > buf && to[-1] == 0xc2;

        control = (*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f
                  || wide;

        if ((size_t) (buf + size - to) < (control ? 4 : 1)) {
            break;
        }

        if ((*p & 0xc0) != 0x80) {
            whole = p;
            whole_to = to;
        }

        if (control) {
            to = ngx_sprintf(wide ? to - 1 : to, "\\x%02xd", *p);
            continue;
        }

        if (*p == '\n') {
            line = p + 1;
            line_to = to;
        }

        *to++ = *p;
    }

    if (p < last && line) {
        p = line;
        to = line_to;

    } else if (p < last && (*p & 0xc0) == 0x80 && whole_to > buf) {
        p = whole;
        to = whole_to;
    }

    *n = (size_t) (to - buf);

    return p;
}


ngx_uint_t
ngx_http_ffi_log_level(void)
{
    ngx_uint_t                 level;
    ngx_http_ffi_main_conf_t  *fmcf;

    level = ngx_cycle->log->log_level;

    fmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_ffi_module);
    if (fmcf) {
        level = ngx_max(level, fmcf->log_level);
    }

    return ngx_min(level, NGX_LOG_DEBUG);
}
