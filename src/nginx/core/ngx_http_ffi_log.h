/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_LOG_H_INCLUDED_
#define _NGX_HTTP_FFI_LOG_H_INCLUDED_

/* What goes to error.log: lines of runtimes, and how often one of ours may. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "log.h"

#pragma GCC visibility push(hidden)


/* Of one message: at most once a second.  Zeroed at first. */
typedef struct {
    time_t  last;
} ngx_http_ffi_limit_t;


/* Whether the message may be logged now, which must follow. */
ngx_uint_t ngx_http_ffi_may_log(ngx_http_ffi_limit_t *limit);

/*
 * Writes what a runtime has logged: in several entries where one cannot hold
 * it, of which the last has what log's handler adds.  Control characters but
 * line feeds and tabs become \xXX, as clients may have sent them.
 */
void ngx_http_ffi_log_line(bridge_line_t *line, ngx_log_t *log);

/* That so many such texts were lost. */
void ngx_http_ffi_log_lost(uint32_t lost);

/* Of the most verbose error_log there is: from NGX_LOG_STDERR to _DEBUG. */
ngx_uint_t ngx_http_ffi_log_level(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_LOG_H_INCLUDED_ */
