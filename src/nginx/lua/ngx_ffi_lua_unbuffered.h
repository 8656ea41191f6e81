/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_UNBUFFERED_H_INCLUDED_
#define _NGX_FFI_LUA_UNBUFFERED_H_INCLUDED_

/*
 * A client's request body, read as it arrives, into one buffer of nginx's
 * (client_body_buffer_size).
 *
 * While it arrives the read event of the connection, or of the stream of
 * HTTP/2, is this one's, through redirects and beside subrequests; whoever
 * had it gets it back.  What is not read in the end is left to nginx, which
 * closes the connection, lingering, or resets the stream.
 *
 * The memory is the main request's; there is one for each.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


typedef struct ngx_ffi_lua_unbuffered_s  ngx_ffi_lua_unbuffered_t;

/*
 * Called in an event: something may have arrived; or, with why, a literal,
 * the client is gone.
 */
typedef void (*ngx_ffi_lua_arrived_pt)(void *data, const char *why);


/* The one of a main request, ended or not; NULL where none has begun. */
ngx_ffi_lua_unbuffered_t *ngx_ffi_lua_unbuffered_of(ngx_http_request_t *r);

/* Whether rb is the body that u reads, or has read. */
ngx_uint_t ngx_ffi_lua_unbuffered_has(ngx_ffi_lua_unbuffered_t *u,
    ngx_http_request_body_t *rb);

/* Whether u reads still: nothing of its body may be replaced. */
ngx_uint_t ngx_ffi_lua_unbuffered_reads_on(ngx_ffi_lua_unbuffered_t *u);

/*
 * Begins to read the body of a main request, which has one that nobody has
 * begun to read.  NULL and *why where that fails.
 */
ngx_ffi_lua_unbuffered_t *ngx_ffi_lua_unbuffered_begin(ngx_http_request_t *r,
    ngx_ffi_lua_arrived_pt arrived, void *data, const char **why);

/*
 * NGX_OK: *bufs have come, in memory or in a file; they are the caller's
 * until the next read, for which pos of all is to be at last.  NGX_AGAIN:
 * arrived is called.  NGX_DONE: that was all.  NGX_ERROR: *why, a literal.
 */
ngx_int_t ngx_ffi_lua_unbuffered_read(ngx_ffi_lua_unbuffered_t *u,
    ngx_chain_t **bufs, const char **why);

/*
 * Leaves the client alone until the next read: it may send as much as fits
 * into the socket, and its timeout does not count.
 */
void ngx_ffi_lua_unbuffered_hold(ngx_ffi_lua_unbuffered_t *u);

/* Ends it, complete or not; harmless the second time. */
void ngx_ffi_lua_unbuffered_end(ngx_ffi_lua_unbuffered_t *u);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_UNBUFFERED_H_INCLUDED_ */
