#ifndef _NGX_HTTP_FFI_RUNTIME_H_INCLUDED_
#define _NGX_HTTP_FFI_RUNTIME_H_INCLUDED_

/* One runtime, from its start to its end; see _registry.h for all. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_log.h"
#include "queue.h"

#pragma GCC visibility push(hidden)


#define NGX_HTTP_FFI_ERR_LEN  2048

/* texts that users' code compares */
#define NGX_HTTP_FFI_FINISHED  "task queue is finished"
#define NGX_HTTP_FFI_FULL      "post failed, queue full"


typedef struct ngx_http_ffi_entry_s  ngx_http_ffi_entry_t;


typedef enum {
    NGX_HTTP_FFI_STARTING = 0,
    NGX_HTTP_FFI_READY,
    NGX_HTTP_FFI_FAILED,
    NGX_HTTP_FFI_UNLOADED
} ngx_http_ffi_state_e;


typedef struct {
    ngx_str_t                  lib;
    ngx_str_t                  cfg;
    ngx_uint_t                 max_queue;
    size_t                     max_request;
    size_t                     max_response;
    ngx_msec_t                 timeout;      /* NGX_CONF_UNSET_MSEC: none */
    ngx_uint_t                 spin;         /* us */
    double                     options[BRIDGE_QUEUE_OPTIONS];  /* or NaN */
    unsigned                   has_cfg:1;
    unsigned                   is_global:1;
    unsigned                   unpin:1;
} ngx_http_ffi_load_t;


typedef struct {
    ngx_http_ffi_caller_t  started;      /* first: of the start task */
    ngx_queue_t            queue;        /* live, or closing */
    ngx_queue_t            quiet;        /* with calls to wake it for */
    ngx_uint_t             ncalls;       /* their number */
    ngx_queue_t            loaders;      /* tasks that wait for a start */
    ngx_http_ffi_state_e   state;
    bridge_queue_t        *requests;
    void                  *library;      /* one reference of dlopen's */
    ngx_http_ffi_entry_t  *entry;
    ngx_http_ffi_load_t    load;         /* as first asked for */
    ngx_str_t              err;          /* why it FAILED */
    uint32_t               taken;        /* out of the queue, when */
    ngx_msec_t             waits_since;  /* calls began to wait */
    ngx_http_ffi_limit_t   full;         /* of messages about it */
    ngx_http_ffi_limit_t   timeout;
    ngx_http_ffi_limit_t   unanswered;
    ngx_http_ffi_limit_t   large;
    unsigned               reported:1;   /* the start task has come back */
    unsigned               stuck:1;      /* and logged */
    unsigned               ended:1;      /* likewise */
} ngx_http_ffi_runtime_t;


/*
 * Before a start: makes this process one that has runtimes, and gives back
 * what is left of earlier ones.  NGX_ERROR with the reason in err (*errlen
 * bytes of room; becomes its length).
 */
ngx_int_t ngx_http_ffi_prepare(u_char *err, size_t *errlen);

/*
 * A new runtime of library, whose reference it takes over, attached to
 * entry: READY or STARTING.  NULL with the reason, likewise.  load's strings
 * are copied.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_start(
    ngx_http_ffi_load_t *load, void *library,
    ngx_http_ffi_entry_t  *entry, u_char *err, size_t *errlen);

/* The one t was put to; NULL where that is gone. */
ngx_http_ffi_runtime_t *ngx_http_ffi_runtime_of(bridge_task_t *t);

/* What error.log calls rt. */
ngx_str_t ngx_http_ffi_runtime_name(ngx_http_ffi_runtime_t *rt);

/*
 * In exit_process: unloads all, waits until every thread that polled has
 * ended, and lets libraries end: in ms milliseconds, of which they get what
 * is left, at least half or a second.  Threads that have seen the end of their
 * queue, or have no call, and do not end, are not waited for longer than 300
 * ms.  Loads fail from now on.
 */
void ngx_http_ffi_unload_all(ngx_msec_t ms);

/* Of all that are not closed: the threads that have polled, and live. */
ngx_int_t ngx_http_ffi_live_threads(void);

/* Looks after all whose threads may have ended. */
void ngx_http_ffi_threads_ended(void);

/*
 * Takes rt out of service in a state that is final: what waits is answered,
 * then its pollers see NULL.
 */
void ngx_http_ffi_close(ngx_http_ffi_runtime_t *rt,
    ngx_http_ffi_state_e state);

/* A copy for ngx_free, with a NUL behind it. */
ngx_int_t ngx_http_ffi_dup(ngx_str_t *dst, u_char *data, size_t len);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_RUNTIME_H_INCLUDED_ */
