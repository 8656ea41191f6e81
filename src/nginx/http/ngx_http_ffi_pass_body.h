/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_BODY_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_BODY_H_INCLUDED_

/*
 * The body of a request, in parts.  With request buffering nginx has all of it
 * before the request is passed on.  Without, it is written to its task as it
 * arrives, while the runtime has room.  If it has none the client is left
 * alone, and TCP, or HTTP/2's window, has it wait.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_request.h"

#pragma GCC visibility push(hidden)


/*
 * Has nginx read the body, and call handler once it has begun.  As
 * ngx_http_read_client_request_body.
 */
ngx_int_t ngx_http_ffi_pass_body_read(ngx_http_ffi_pass_t *p,
    ngx_http_client_body_handler_pt handler);

/* Then: looks what there is of it, and sets p->feeding if there is one. */
void ngx_http_ffi_pass_body_begin(ngx_http_ffi_pass_t *p);

/*
 * Writes what has arrived to p's task, and sets the request's read handler,
 * which goes on; at the end of the body to one that notices that the client
 * has gone.  NGX_OK; or the status of a failure, which is to end the request.
 */
ngx_int_t ngx_http_ffi_pass_body_feed(ngx_http_ffi_pass_t *p);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_BODY_H_INCLUDED_ */
