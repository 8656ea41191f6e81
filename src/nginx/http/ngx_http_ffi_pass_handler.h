/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_HANDLER_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_HANDLER_H_INCLUDED_

/* The content handler of locations with ffi_pass. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


ngx_int_t ngx_http_ffi_pass_handler(ngx_http_request_t *r);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_HANDLER_H_INCLUDED_ */
