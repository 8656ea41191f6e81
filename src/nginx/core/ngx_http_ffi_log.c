/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_log.h"


/* nginx cuts a log entry at 2048 bytes, its own prefix included */
#define NGX_HTTP_FFI_LOG_CHUNK  1800


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
                  "lua ffi: %uD more lines from runtimes were dropped", lost);
}


void
ngx_http_ffi_log_line(bridge_line_t *line)
{
    char        *p, *last, *end;
    ngx_uint_t   level;

    level = (ngx_uint_t) ngx_max(NGX_LOG_ERR,
                                 ngx_min(line->level, NGX_LOG_INFO));
    last = line->text + line->len;

    while (last > line->text && last[-1] == '\n') {
        last--;
    }

    for (p = line->text; p < last; p = end) {
        end = last;

        if (end - p > NGX_HTTP_FFI_LOG_CHUNK) {
            end = p + NGX_HTTP_FFI_LOG_CHUNK;

            while (end > p && end[-1] != '\n') {
                end--;
            }

            if (end == p) {
                end = p + NGX_HTTP_FFI_LOG_CHUNK;
            }
        }

        ngx_log_error(level, ngx_cycle->log, 0, "%*s", (size_t) (end - p), p);
    }
}
