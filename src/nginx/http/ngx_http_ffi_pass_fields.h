/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_FIELDS_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_FIELDS_H_INCLUDED_

/* The head of an answer as nginx's own fields, as upstreams' are. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "head.h"

#pragma GCC visibility push(hidden)


/* what is kept of the head of an answer that nobody gets */
#define NGX_HTTP_FFI_KEPT_BY_REDIRECT  1
#define NGX_HTTP_FFI_KEPT_BY_ERROR     2


/*
 * Makes h, which must live as long as r, the head of r's response, but for
 * fields whose names, in lower case, are in hidden (ngx_str_t; NULL: none).
 * NGX_DECLINED, with nothing done, where h makes no sense: *why, a literal.
 * NGX_ERROR where memory ran out.
 */
ngx_int_t ngx_http_ffi_pass_fields(ngx_http_request_t *r, bridge_head_t *h,
    ngx_array_t *hidden, const char **why);

/* The same with those fields of h alone that are kept by what happens. */
ngx_int_t ngx_http_ffi_pass_keep_fields(ngx_http_request_t *r,
    bridge_head_t *h, ngx_array_t *hidden, unsigned by);

/*
 * Adds the fields of h, which must live as long, to a list: of trailers, or of
 * hints.
 */
ngx_int_t ngx_http_ffi_pass_list(ngx_list_t *list, bridge_head_t *h,
    ngx_array_t *hidden);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_FIELDS_H_INCLUDED_ */
