/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_TEXT_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_TEXT_H_INCLUDED_

/* What has been counted, as Prometheus reads it. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_out.h"
#include "ngx_http_ffi_status_read.h"

#pragma GCC visibility push(hidden)


/* In its text format 0.0.4, or as OpenMetrics 1.0. */
void ngx_http_ffi_status_text(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_status_t *status, ngx_uint_t openmetrics);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_TEXT_H_INCLUDED_ */
