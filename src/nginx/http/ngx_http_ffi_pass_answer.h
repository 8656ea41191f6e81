/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_ANSWER_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_ANSWER_H_INCLUDED_

/* The answer of a runtime, sent to the client as it comes. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_request.h"

#pragma GCC visibility push(hidden)


/*
 * Has the answer of p's task, which is about to be put, sent when it comes, in
 * p's event and in its request's write handler.
 */
void ngx_http_ffi_pass_expect(ngx_http_ffi_pass_t *p);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_ANSWER_H_INCLUDED_ */
