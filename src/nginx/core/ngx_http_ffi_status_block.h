/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_BLOCK_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_BLOCK_H_INCLUDED_

/*
 * What one worker counts of one method of one runtime, in shared memory, and
 * the life of a task as it counts there.
 *
 * The worker's main thread alone writes to a block, so that nothing has to be
 * locked; others read it at any time.  Where a task's account is NULL nothing
 * is counted.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <stdatomic.h>

#include "task.h"

#pragma GCC visibility push(hidden)


#define NGX_HTTP_FFI_STATUS_RUNTIME  80
#define NGX_HTTP_FFI_STATUS_METHOD   48

/* 10 us, 20, 50, 100 and so on until 100 s, and more than that */
#define NGX_HTTP_FFI_STATUS_BOUNDS   22
#define NGX_HTTP_FFI_STATUS_BUCKETS  (NGX_HTTP_FFI_STATUS_BOUNDS + 1)


/* How a call, stream or web request has ended, as its caller saw it. */
typedef enum {
    NGX_HTTP_FFI_CALL_OK = 0,
    NGX_HTTP_FFI_CALL_ERROR,
    NGX_HTTP_FFI_CALL_TIMEOUT,
    NGX_HTTP_FFI_CALL_REFUSED,  /* no thread of the runtime has taken it */
    NGX_HTTP_FFI_CALL_GONE,     /* the caller has not waited for the end */
    NGX_HTTP_FFI_NOUTCOMES
} ngx_http_ffi_outcome_e;


typedef _Atomic uint64_t  ngx_http_ffi_counter_t;


typedef struct {
    ngx_http_ffi_counter_t  buckets[NGX_HTTP_FFI_STATUS_BUCKETS];
    ngx_http_ffi_counter_t  us;         /* the sum */
} ngx_http_ffi_histogram_t;


typedef struct {
    ngx_http_ffi_counter_t    outcomes[NGX_HTTP_FFI_NOUTCOMES];
    ngx_http_ffi_counter_t    bytes_in;
    ngx_http_ffi_counter_t    bytes_out;
    ngx_http_ffi_histogram_t  waiting;  /* from the put until it is taken */
    ngx_http_ffi_histogram_t  running;  /* until nginx has the answer */
    ngx_http_ffi_histogram_t  total;    /* of those that were put */

    /* a runtime's, in its block "other" */
    ngx_http_ffi_counter_t    reloads;
    ngx_http_ffi_counter_t    high_water;
    ngx_http_ffi_counter_t    locks;    /* waits of its threads for their
                                           interpreter's lock */
    ngx_http_ffi_counter_t    lock_us;

    /* gauges: 0 in a worker that has ended */
    ngx_http_ffi_counter_t    in_flight;
    ngx_http_ffi_counter_t    queued;
} ngx_http_ffi_counts_t;


typedef struct ngx_http_ffi_block_s  ngx_http_ffi_block_t;

struct ngx_http_ffi_block_s {
    uint32_t                  worker;   /* its slot */
    uint32_t                  hash;     /* of the names */
    uint16_t                  runtime_len;
    uint16_t                  method_len;
    u_char                    runtime[NGX_HTTP_FFI_STATUS_RUNTIME];
    u_char                    method[NGX_HTTP_FFI_STATUS_METHOD];
    ngx_http_ffi_counts_t     counts;
    ngx_queue_t               queue;    /* the zone's, under its mutex */
    ngx_http_ffi_block_t     *next;     /* of nobody's, likewise */
};


/*
 * Called for a task with an answer, whose outcome is an error; NULL: nobody
 * asks.
 */
extern void (*ngx_http_ffi_status_failed)(bridge_task_t *t);

/* us; each bucket holds what is not above its bound */
extern const uint32_t
    ngx_http_ffi_status_bounds[NGX_HTTP_FFI_STATUS_BOUNDS];


/* By who writes to it alone. */
static inline void
ngx_http_ffi_add(ngx_http_ffi_counter_t *counter, uint64_t n)
{
    atomic_store_explicit(counter,
                          atomic_load_explicit(counter, memory_order_relaxed)
                          + n, memory_order_relaxed);
}


static inline uint64_t
ngx_http_ffi_get(ngx_http_ffi_counter_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}


static inline void
ngx_http_ffi_set(ngx_http_ffi_counter_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, n, memory_order_relaxed);
}


/* t is about to be put to a queue; b, which may be NULL, is its account. */
void ngx_http_ffi_status_begin(bridge_task_t *t, ngx_http_ffi_block_t *b);

/* t has come up, at now in us; *now is set where it is 0. */
void ngx_http_ffi_status_up(bridge_task_t *t, int64_t *now);

/*
 * How it has ended for its caller; only the first that is said counts.  Before
 * t is cancelled or freed: of one that nobody has said that of the caller has
 * gone.
 */
void ngx_http_ffi_status_settle(bridge_task_t *t,
    ngx_http_ffi_outcome_e outcome);

/* For bridge_t.unsettled. */
void ngx_http_ffi_status_unsettled(bridge_task_t *t);

/* *to, which nobody else writes to, has what *from has; but no gauges. */
void ngx_http_ffi_status_merge(ngx_http_ffi_counts_t *to,
    ngx_http_ffi_counts_t *from);


/* Bytes of its request, and of its answer. */

static inline void
ngx_http_ffi_status_in(bridge_task_t *t, size_t n)
{
    if (t->account) {
        ngx_http_ffi_add(&((ngx_http_ffi_block_t *) t->account)
                          ->counts.bytes_in, n);
    }
}


static inline void
ngx_http_ffi_status_out(bridge_task_t *t, size_t n)
{
    if (t->account) {
        ngx_http_ffi_add(&((ngx_http_ffi_block_t *) t->account)
                          ->counts.bytes_out, n);
    }
}

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_BLOCK_H_INCLUDED_ */
