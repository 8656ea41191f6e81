/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_BODY_H_INCLUDED_
#define _NGX_FFI_LUA_BODY_H_INCLUDED_

/*
 * A client's request body, fed to a stream's task.
 *
 * It is read as it arrives, and only while the runtime has room; see
 * ngx_ffi_lua_unbuffered.h.  One that was read before, in memory or in a
 * file, is fed in pieces and stays where it is, as that of a subrequest does.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_stream.h"

#pragma GCC visibility push(hidden)


/*
 * Feeds the body of r, whose Lua code runs, to a stream that is open for
 * input; some of it at once, so that the task had better not be put before.
 * Sets s->room until the body is complete, or the stream is closed.  Where
 * the body fails later, the stream is closed, in an event.
 * Returns NULL; or why not, a literal: nothing more happens then.
 */
const char *ngx_ffi_lua_body_feed(ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r);

/* Whether the body of r is on its way to a stream. */
ngx_uint_t ngx_ffi_lua_body_arrives(ngx_http_request_t *r);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_BODY_H_INCLUDED_ */
