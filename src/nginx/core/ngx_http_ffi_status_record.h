/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_RECORD_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_RECORD_H_INCLUDED_

/*
 * The last slow calls, and the last errors, of all workers: rings in the zone.
 * Where the zone has no room for a record, there is none.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "log.h"
#include "ngx_http_ffi_status_zone.h"

#pragma GCC visibility push(hidden)


/* Of t, which has an account and was put us microseconds ago. */
void ngx_http_ffi_status_record(bridge_task_t *t, ngx_http_ffi_record_e kind,
    uint64_t us, ngx_str_t *text);

/* What a runtime does for a slow one, or did: for its record and error.log. */
void ngx_http_ffi_slow_described(bridge_line_t *line);

/* For ngx_http_ffi_status_failed: at most some a second. */
void ngx_http_ffi_status_record_error(bridge_task_t *t);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_RECORD_H_INCLUDED_ */
