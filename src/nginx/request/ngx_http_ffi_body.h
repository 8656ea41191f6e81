/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_BODY_H_INCLUDED_
#define _NGX_HTTP_FFI_BODY_H_INCLUDED_

/* A request's body, on its way to a runtime in parts. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "input.h"
#include "task.h"

#pragma GCC visibility push(hidden)


/* bytes of a part at most */
#define NGX_HTTP_FFI_BODY_PIECE  32768

/* bytes that are written before other connections have their turn */
#define NGX_HTTP_FFI_BODY_TURN   1048576


/*
 * Writes a part of what b has from offset on, in memory or in a file, to t;
 * *len becomes its bytes.  What bridge_stream_write returns; EIO where the
 * file cannot be read.
 */
int ngx_http_ffi_body_write(bridge_task_t *t, ngx_buf_t *b, off_t offset,
    size_t *len);

/*
 * Nothing is read for now: no timeout counts, and no event comes again and
 * again.  ngx_handle_read_event, which nginx's reading calls, ends that.
 */
void ngx_http_ffi_body_hold(ngx_event_t *rev);

/*
 * Whether the client has gone of whose body there is more to come than has
 * been read; sets c->error then.
 */
ngx_uint_t ngx_http_ffi_body_client_gone(ngx_http_request_t *r);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_BODY_H_INCLUDED_ */
