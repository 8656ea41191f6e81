/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_PAGE_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_PAGE_H_INCLUDED_

/* A page that says what has failed, for who writes the application. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


/*
 * Answers r, of which no head has been sent, with that status and text, which
 * is escaped, where ffi_show_errors is on and the text is not empty.  Returns
 * what r is to be finalized with; that is the status where it does nothing.
 */
ngx_int_t ngx_http_ffi_pass_page(ngx_http_request_t *r, ngx_int_t status,
    ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_PAGE_H_INCLUDED_ */
