/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_UPGRADE_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_UPGRADE_H_INCLUDED_

/*
 * Connections that become the runtime's, which speaks WebSocket on them: bytes
 * go both ways as they come.  While the runtime has no room nothing is read,
 * and TCP has the client wait.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_request.h"

#pragma GCC visibility push(hidden)


/* Whether r asks for a WebSocket and can have one: over HTTP/1.1 only. */
ngx_uint_t ngx_http_ffi_pass_asks_for_upgrade(ngx_http_request_t *r);

/*
 * Of a request that was offered an upgrade, once its head is nginx's own: sets
 * p->upgraded, and makes it one of an upgrade, if it has status 101; else the
 * runtime's input ends.  NGX_ERROR where memory ran out.
 */
ngx_int_t ngx_http_ffi_pass_upgrade_head(ngx_http_ffi_pass_t *p);

/*
 * That head has been sent: bytes go both ways from now on.  NGX_ERROR: the
 * request has been finalized.
 */
ngx_int_t ngx_http_ffi_pass_upgrade_begin(ngx_http_ffi_pass_t *p);

/*
 * Hands what the client has sent to the runtime, as far as it has room.
 * NGX_OK; or the status of a failure, which is to end the request.
 */
ngx_int_t ngx_http_ffi_pass_upgrade_read(ngx_http_ffi_pass_t *p);

/* No bytes have come for too long, from either side: ends it. */
void ngx_http_ffi_pass_upgrade_expire(ngx_http_ffi_pass_t *p);

/*
 * Of ngx_http_ffi_quit_t: has runtimes told that the worker leaves, a second
 * before it does; at once where new connections may wait for that.
 */
void ngx_http_ffi_pass_upgrade_quit(ngx_msec_t abort, ngx_msec_t end);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_UPGRADE_H_INCLUDED_ */
