/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_REQUEST_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_REQUEST_H_INCLUDED_

/*
 * A request that is passed on: what it owns, and how it ends.
 *
 * It is in the request's pool, and ends with the request at the latest, which
 * cancels the task.  Callbacks of the core note what has come and post its
 * event, in which everything else happens.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_outlet.h"
#include "ngx_http_ffi_pass_conf.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_caller_t   caller;     /* first: bridge_task_t.data */
    ngx_queue_t             queue;      /* of all that have not ended */
    ngx_http_request_t     *request;
    ngx_http_ffi_target_t  *target;
    ngx_http_ffi_pass_loc_conf_t  *conf;
    bridge_task_t          *task;       /* NULL: none yet, or any more */
    bridge_head_t          *head;       /* of the answer, once it has come */
    bridge_head_t          *hints;      /* a list, by their nodes' next */
    bridge_head_t          *last_hints;
    bridge_head_t          *trailers;   /* the same */
    bridge_head_t          *last_trailers;
    ngx_http_ffi_outlet_t   outlet;
    ngx_event_t             event;      /* something has come */
    ngx_event_t             timer;      /* for what is waited for; while it is
                                           set a worker that quits stays */
    ngx_msec_t              touched;    /* when a part has come last, or went
                                           to the client or the runtime */
    off_t                   length;     /* Content-Length of the answer, -1 */
    ngx_chain_t            *bufs;       /* of the body, not written yet */
    off_t                   offset;     /* of the first of them */

    unsigned                loading:1;  /* the task is that of a load */
    unsigned                answered:1; /* the task has its answer */
    unsigned                head_sent:1;
    unsigned                head_alone:1;   /* nothing has come behind it */
    unsigned                head_flushed:1;
    unsigned                no_body:1;  /* of the answer: HEAD, 204, 304 */
    unsigned                nomem:1;    /* a part is lost */
    unsigned                read_before:1;  /* the body: not by us */
    unsigned                feeding:1;  /* the request's body is incomplete */
    unsigned                unbuffered:1;   /* it comes from the client */
    unsigned                held:1;     /* there is no room for more of it */
    unsigned                feed:1;     /* go on with it in the event */
    unsigned                later:1;    /* the event is one of the next turn */
    unsigned                lost:1;     /* the client, which is ignored */
    unsigned                upgrade:1;  /* is offered; see upgrade.h */
    unsigned                upgraded:1;
    unsigned                eof:1;      /* of an upgraded connection */
} ngx_http_ffi_pass_t;


/* Of r, not begun; NULL where memory ran out. */
ngx_http_ffi_pass_t *ngx_http_ffi_pass_new(ngx_http_request_t *r);

/* r's; NULL where there is none, or filters have taken it away. */
ngx_http_ffi_pass_t *ngx_http_ffi_pass_get(ngx_http_request_t *r);

/* Has the event handled in this turn; or in the next one. */
void ngx_http_ffi_pass_post(ngx_http_ffi_pass_t *p);
void ngx_http_ffi_pass_post_later(ngx_http_ffi_pass_t *p);

/* Sets the timer to ms milliseconds from now; 0: no bound. */
void ngx_http_ffi_pass_wait(ngx_http_ffi_pass_t *p, ngx_msec_t ms);

/* Whether the runtime has nothing to do before the client does something. */
ngx_uint_t ngx_http_ffi_pass_waits_for_client(ngx_http_ffi_pass_t *p);

/*
 * Sets the request's read handler, once there is nothing to read: to one that
 * notices that the client has gone, unless that is to be ignored.
 */
void ngx_http_ffi_pass_watch(ngx_http_ffi_pass_t *p);

/* Calls visit with each that has not ended, which it must not end. */
void ngx_http_ffi_pass_each(void (*visit)(ngx_http_ffi_pass_t *p));

/* Lets go of the task, and of what has not been sent. */
void ngx_http_ffi_pass_end(ngx_http_ffi_pass_t *p);

/*
 * Ends it, but not the task: the runtime may end as it wants, see drain.h;
 * max: bytes.  One that has not had its request is told all the same.
 */
void ngx_http_ffi_pass_leave(ngx_http_ffi_pass_t *p, off_t max);

/*
 * What the filters have returned is an error, or the client is too slow: ends
 * it with rc, and its request.  If that is the client's fault, which is to be
 * ignored, the runtime is not told.
 */
void ngx_http_ffi_pass_lost(ngx_http_ffi_pass_t *p, ngx_int_t rc);

/* In exit_process, before runtimes are unloaded: ends all. */
void ngx_http_ffi_pass_end_all(void);

/* Ends it, and its request, which may be gone then. */
void ngx_http_ffi_pass_finalize(ngx_http_ffi_pass_t *p, ngx_int_t rc);

/*
 * Ends it because of a fault: with the status where no head has been sent,
 * else so that the client does not take for complete what it has.
 */
void ngx_http_ffi_pass_fail(ngx_http_ffi_pass_t *p, ngx_int_t status);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_REQUEST_H_INCLUDED_ */
