/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_JSON_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_JSON_H_INCLUDED_

/* What has been counted, as JSON. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_out.h"
#include "ngx_http_ffi_status_read.h"

#pragma GCC visibility push(hidden)


/* full: with slow calls and errors. */
void ngx_http_ffi_status_json(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_status_t *status, ngx_uint_t full);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_JSON_H_INCLUDED_ */
