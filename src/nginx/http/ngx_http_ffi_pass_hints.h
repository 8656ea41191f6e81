/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_HINTS_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_HINTS_H_INCLUDED_

/* Early hints (103), of an nginx that has them: from 1.29.0 on. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_pass_request.h"
#include "resty_ffi.h"

#pragma GCC visibility push(hidden)


#define NGX_HTTP_FFI_PASS_HINTS  103

/* what the heads of requests say of them */
#if (nginx_version >= 1029000)
#define NGX_HTTP_FFI_PASS_HINTS_FLAG  RESTY_FFI_EARLY_HINTS
#else
#define NGX_HTTP_FFI_PASS_HINTS_FLAG  0
#endif


/*
 * Sends those that have come, and frees them.  NGX_ERROR: p has been
 * finalized.
 */
ngx_int_t ngx_http_ffi_pass_send_hints(ngx_http_ffi_pass_t *p);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_HINTS_H_INCLUDED_ */
