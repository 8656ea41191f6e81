/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_RUNTIME_H_INCLUDED_
#define _NGX_HTTP_FFI_RUNTIME_H_INCLUDED_

/*
 * One runtime, from its start to its end: a machine of states, which the
 * table in the .c file shows.  See _load.h for how one comes to be, and
 * _runtimes.h for all of them.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_loaders.h"
#include "ngx_http_ffi_log.h"
#include "ngx_http_ffi_registry.h"
#include "ngx_http_ffi_wake.h"
#include "queue.h"

#pragma GCC visibility push(hidden)


#define NGX_HTTP_FFI_ERR_LEN  2048

/* texts that users' code compares */
#define NGX_HTTP_FFI_FINISHED  "task queue is finished"
#define NGX_HTTP_FFI_FULL      "post failed, queue full"


typedef enum {
    NGX_HTTP_FFI_STARTING = 1,  /* libffi_init is called; no calls yet */
    NGX_HTTP_FFI_READY,         /* takes calls */
    NGX_HTTP_FFI_FAILED,        /* could not start; threads may still run */
    NGX_HTTP_FFI_UNLOADED,      /* takes no calls any more, likewise */
    NGX_HTTP_FFI_RELEASED,      /* is freed */
    NGX_HTTP_FFI_NSTATES
} ngx_http_ffi_state_e;


typedef enum {
    NGX_HTTP_FFI_STARTED = 0,   /* as the library reports, or libffi_init */
    NGX_HTTP_FFI_START_FAILED,  /* as the library reports */
    NGX_HTTP_FFI_INIT_FAILED,   /* as libffi_init returns */
    NGX_HTTP_FFI_UNLOAD,
    NGX_HTTP_FFI_ORPHANED,      /* threads have polled, and none lives */
    NGX_HTTP_FFI_RELEASE,       /* queue and start task have come back */
    NGX_HTTP_FFI_NEVENTS
} ngx_http_ffi_runtime_event_e;


/* see _status_account.h */
typedef struct ngx_http_ffi_account_s  ngx_http_ffi_account_t;


struct ngx_http_ffi_runtime_s {
    ngx_http_ffi_caller_t  started;      /* first: of the start task */
    ngx_queue_t            queue;        /* live, or closing */
    ngx_http_ffi_wake_t    wake;
    ngx_queue_t            loaders;      /* tasks that wait for a start */
    ngx_http_ffi_state_e   state;
    bridge_queue_t        *requests;
    void                  *library;      /* one reference of dlopen's */
    ngx_http_ffi_entry_t  *entry;
    ngx_http_ffi_load_t    load;         /* as first asked for */
    ngx_str_t              err;          /* why it takes no calls */
    ngx_http_ffi_account_t *account;     /* NULL: not yet asked for */
    uint64_t               locks;        /* of its threads: those counted */
    uint64_t               lock_ns;
    uint32_t               taken;        /* out of the queue, when */
    ngx_msec_t             waits_since;  /* calls began to wait */
    ngx_http_ffi_limit_t   full;         /* of messages about it */
    ngx_http_ffi_limit_t   timeout;
    ngx_http_ffi_limit_t   unanswered;
    ngx_http_ffi_limit_t   large;
    unsigned               reported:1;   /* the start task has come back */
    unsigned               stuck:1;      /* and logged */
    unsigned               orphaned:1;   /* likewise */
};


/* All that take calls, or will; and those that take none any more. */
extern ngx_queue_t  ngx_http_ffi_live;
extern ngx_queue_t  ngx_http_ffi_closing;


/*
 * A new runtime of library, whose reference it takes over, of entry: READY
 * or STARTING.  NULL with the reason in err (*errlen bytes of room; becomes
 * its length).  load's strings are copied.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_start(ngx_http_ffi_load_t *load,
    void *library, ngx_http_ffi_entry_t *entry, u_char *err, size_t *errlen);

/*
 * An event: UNLOAD and RELEASE are for others to tell, the other ones come
 * from this file.  why is what those who wait for a start are told, or NULL;
 * it is copied.  After RELEASE rt is gone.
 */
void ngx_http_ffi_runtime_event(ngx_http_ffi_runtime_t *rt,
    ngx_http_ffi_runtime_event_e event, ngx_str_t *why);

/* For bridge_t.kicked. */
void ngx_http_ffi_kicked(bridge_queue_t *q);

/*
 * A thread of rt may have ended: fails what waits in its queue where nobody
 * is left to take it.
 */
void ngx_http_ffi_check_threads(ngx_http_ffi_runtime_t *rt);

/* The one t was put to; NULL where that is gone. */
ngx_http_ffi_runtime_t *ngx_http_ffi_runtime_of(bridge_task_t *t);

/* What error.log calls rt. */
ngx_str_t ngx_http_ffi_runtime_name(ngx_http_ffi_runtime_t *rt);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_RUNTIME_H_INCLUDED_ */
