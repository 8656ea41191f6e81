/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_OUTLET_H_INCLUDED_
#define _NGX_HTTP_FFI_OUTLET_H_INCLUDED_

/*
 * Parts in nginx's output chain, without a copy: its buffers point at the
 * runtime's bytes.  These are given back when they have been sent, or, where
 * they cannot be, when the request's pool goes: until then a filter may look
 * at them.
 *
 * Everything in this folder runs on the worker's main thread.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "send.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_request_t   *request;
    ngx_chain_t          *out;        /* not handed to the filters yet */
    ngx_chain_t         **last_out;
    ngx_chain_t          *busy;       /* and those that were */
    ngx_chain_t         **last_busy;
    ngx_chain_t          *free;
    off_t                 held;       /* bytes of both */
    off_t                 bytes;      /* that were added; the user's to reset */
    unsigned              writing:1;  /* what comes to the filters is ours */
    unsigned              broken:1;   /* the response */
} ngx_http_ffi_outlet_t;


/* Of zeroed memory in r's pool.  NGX_ERROR where memory ran out. */
ngx_int_t ngx_http_ffi_outlet_init(ngx_http_ffi_outlet_t *o,
    ngx_http_request_t *r);

/* Takes a part over; NGX_ERROR where memory ran out: it is the caller's. */
ngx_int_t ngx_http_ffi_outlet_part(ngx_http_ffi_outlet_t *o,
    bridge_part_t *part);

/* The same for a task with an answer of at least one byte. */
ngx_int_t ngx_http_ffi_outlet_answer(ngx_http_ffi_outlet_t *o,
    bridge_task_t *t);

/*
 * Hands what was added to the filters, and has them go on with what they
 * have.  flush: even a little of it is to go out now.  NGX_ERROR where a
 * filter failed or the client has gone.
 */
ngx_int_t ngx_http_ffi_outlet_write(ngx_http_ffi_outlet_t *o,
    ngx_uint_t flush);

/* Has the head go out, and all that filters hold; NGX_ERROR as above. */
ngx_int_t ngx_http_ffi_outlet_flush(ngx_http_ffi_outlet_t *o);

/* Write, with the end of the response; returns what the filters did. */
ngx_int_t ngx_http_ffi_outlet_finish(ngx_http_ffi_outlet_t *o);

/* Gives back what has been sent; write does so itself. */
void ngx_http_ffi_outlet_release(ngx_http_ffi_outlet_t *o);

/* Gives back what was not handed to the filters. */
void ngx_http_ffi_outlet_drop(ngx_http_ffi_outlet_t *o);

/* Gives back all.  No filter must be called any more. */
void ngx_http_ffi_outlet_abandon(ngx_http_ffi_outlet_t *o);

/*
 * The response will not be whole, and must not end cleanly: with this, and if
 * it gets no last buffer.
 */
void ngx_http_ffi_outlet_break(ngx_http_ffi_outlet_t *o);

/* The same; and where it is part of another response, that one ends here. */
void ngx_http_ffi_outlet_break_page(ngx_http_ffi_outlet_t *o);

/* The bytes that were added and not sent. */
off_t ngx_http_ffi_outlet_unsent(ngx_http_ffi_outlet_t *o);

/* Whether what the request sends goes to the connection. */
ngx_uint_t ngx_http_ffi_outlet_active(ngx_http_ffi_outlet_t *o);

/* Whether something waits to be sent, by us or by the filters. */
ngx_uint_t ngx_http_ffi_outlet_blocked(ngx_http_ffi_outlet_t *o);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_OUTLET_H_INCLUDED_ */
