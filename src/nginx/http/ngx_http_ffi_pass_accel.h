/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_ACCEL_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_ACCEL_H_INCLUDED_

/* What the head of an answer has nginx do, as that of an upstream. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_request.h"

#pragma GCC visibility push(hidden)


/*
 * Looks at the head, which has come: X-Accel-Limit-Rate and X-Accel-Charset;
 * X-Accel-Redirect; and error_page, where errors are intercepted.
 * NGX_OK: the answer is to be sent.  NGX_DONE: another one is, p has ended,
 * and its request may be gone.
 */
ngx_int_t ngx_http_ffi_pass_accel(ngx_http_ffi_pass_t *p);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_ACCEL_H_INCLUDED_ */
