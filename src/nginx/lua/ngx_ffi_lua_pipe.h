/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_PIPE_H_INCLUDED_
#define _NGX_FFI_LUA_PIPE_H_INCLUDED_

/*
 * Sends what comes of a stream to the client.
 *
 * One for each request or subrequest, which its pool owns; it may run many
 * times.  While it runs nothing else of the request can be sent.  A response
 * of which a pipe has not sent all, for whatever reason, does not end
 * cleanly: it gets no last buffer, and the connection is not kept.
 *
 * A filter that ends the request by an error page clears the contexts of all
 * modules.  No Lua code can run then, so who waits for a run is not resumed,
 * and the request is finalized.
 *
 * The request's write_event_handler is the pipe's while it runs, and its
 * read_event_handler where that does nothing.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_bounds.h"
#include "ngx_http_ffi_outlet.h"
#include "ngx_ffi_lua_sema.h"
#include "ngx_ffi_lua_stream.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_outlet_t       outlet;
    ngx_ffi_lua_bounds_t        bounds;
    ngx_ffi_lua_stream_t       *stream;     /* NULL: it has ended */
    ngx_ffi_lua_sema_t         *sema;       /* who waits for the run's end */
    bridge_task_t              *error;      /* the answer, with a status */
    const char                 *failed;     /* why there is no end; static */
    ngx_http_event_handler_pt   handler;    /* write_event_handler, to be put
                                               back */

    ngx_event_t                 event;      /* sends what has come, or ends
                                               the request: lost */

    unsigned                    running:1;
    unsigned                    complete:1; /* no more comes */
    unsigned                    lost:1;     /* with the request's contexts */
} ngx_ffi_lua_pipe_t;


/* r's, made where there is none and create is set; NULL if memory ran out */
ngx_ffi_lua_pipe_t *ngx_ffi_lua_get_pipe(ngx_http_request_t *r,
    ngx_uint_t create);

/*
 * Starts a run, which sends what is there.  Whether it goes on: then p->sema
 * is to be set, which is resumed at its end.  At the end forget is to be
 * called.
 */
ngx_uint_t ngx_ffi_lua_pipe_run(ngx_ffi_lua_pipe_t *p,
    ngx_ffi_lua_stream_t *s);

/*
 * Ends a run before its end, and closes its stream; why is static.  What has
 * come is sent still.
 */
void ngx_ffi_lua_pipe_fail(ngx_ffi_lua_pipe_t *p, const char *why);

/* After a run: gives its semaphore and its error back. */
void ngx_ffi_lua_pipe_forget(ngx_ffi_lua_pipe_t *p);

/* Whether a run goes on; ends one for which nobody waits any more. */
ngx_uint_t ngx_ffi_lua_pipe_runs(ngx_ffi_lua_pipe_t *p);

/* For the filter.  Others may have sent what the pipe could not. */
void ngx_ffi_lua_pipe_sent(ngx_ffi_lua_pipe_t *p);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_PIPE_H_INCLUDED_ */
