/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_FIELDS_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_FIELDS_H_INCLUDED_

/* The head of an answer as nginx's own fields, as upstreams' are. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "head.h"

#pragma GCC visibility push(hidden)


/*
 * Makes h, which must live as long as r, the head of r's response.
 * NGX_DECLINED, with nothing done, where h makes no sense: *why, a literal.
 * NGX_ERROR where memory ran out.
 */
ngx_int_t ngx_http_ffi_pass_fields(ngx_http_request_t *r, bridge_head_t *h,
    const char **why);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_FIELDS_H_INCLUDED_ */
