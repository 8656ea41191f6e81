/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_ZONE_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_ZONE_H_INCLUDED_

/*
 * What all workers count, in shared memory: ffi_status_zone.
 *
 * Each worker has a slot, and blocks of its own, which it alone writes to.
 * What one that has ended has counted goes to blocks of nobody, when it
 * leaves, or its successor comes, or somebody reads.  A reload keeps all.
 *
 * The list of blocks and the slots are under the mutex of the zone, which
 * nginx's master unlocks where its holder has died.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_block.h"

#pragma GCC visibility push(hidden)


#define NGX_HTTP_FFI_STATUS_WORKERS  128    /* that live at a time */
#define NGX_HTTP_FFI_STATUS_NOBODY   NGX_HTTP_FFI_STATUS_WORKERS
#define NGX_HTTP_FFI_STATUS_ABOUT    48
#define NGX_HTTP_FFI_STATUS_CHAINS   256
#define NGX_HTTP_FFI_STATUS_NAMES    1000   /* of runtime and method */
#define NGX_HTTP_FFI_STATUS_RECORDS  32     /* of each kind */

/* for what has no name, or no room of its own */
#define NGX_HTTP_FFI_STATUS_OTHER    "other"


typedef struct {
    ngx_pid_t               pid;        /* 0: nobody's */
    ngx_uint_t              worker;     /* its number */
    ngx_uint_t              generation;
    time_t                  started;
    unsigned                used:1;     /* worker and generation are of the
                                           one that was here last */
    ngx_http_ffi_counter_t  threads;
    ngx_http_ffi_counter_t  resident;   /* bytes */
    _Atomic ngx_uint_t      named;      /* about is there to be read */
    u_char                  about[NGX_HTTP_FFI_STATUS_ABOUT];
} ngx_http_ffi_status_worker_t;


typedef enum {
    NGX_HTTP_FFI_RECORD_SLOW = 0,
    NGX_HTTP_FFI_RECORD_ERROR,
    NGX_HTTP_FFI_NRECORDS
} ngx_http_ffi_record_e;


typedef struct {
    ngx_pid_t               pid;        /* 0: nothing is here yet */
    uint64_t                task;       /* its handle, in that process */
    time_t                  time;
    uint64_t                us;         /* since it was put */
    uint16_t                runtime_len;
    uint16_t                method_len;
    uint32_t                text_len;
    u_char                  runtime[NGX_HTTP_FFI_STATUS_RUNTIME];
    u_char                  method[NGX_HTTP_FFI_STATUS_METHOD];
    u_char                  text[1856]; /* its end, where it is longer */
} ngx_http_ffi_status_record_t;


typedef struct {
    ngx_uint_t                      next;
    ngx_http_ffi_status_record_t   *ring[NGX_HTTP_FFI_STATUS_RECORDS];
                                        /* NULL: there is no room for it */
} ngx_http_ffi_status_ring_t;


typedef struct {
    size_t                        layout;       /* of all this */
    ngx_uint_t                    generation;   /* loads of nginx.conf */
    uint64_t                      restarts;     /* of workers */
    uint64_t                      replaced[2];  /* of those, by a limit: of
                                                   requests, of memory */
    ngx_uint_t                    nblocks;
    ngx_queue_t                   blocks;       /* ngx_http_ffi_block_t */
    ngx_uint_t                    nnames;       /* that they have */
    ngx_http_ffi_block_t         *nobodys[NGX_HTTP_FFI_STATUS_CHAINS];
    ngx_http_ffi_counter_t        full;         /* blocks that had no room */
    ngx_http_ffi_status_ring_t    records[NGX_HTTP_FFI_NRECORDS];
    ngx_http_ffi_status_worker_t  workers[NGX_HTTP_FFI_STATUS_WORKERS];
} ngx_http_ffi_status_sh_t;


/* Of one nginx.conf. */
typedef struct {
    ngx_http_ffi_status_sh_t     *sh;
    ngx_slab_pool_t              *pool;
    ngx_uint_t                    generation;
} ngx_http_ffi_status_zone_t;


/*
 * A zone of a configuration that is read; NULL where it fails, which is
 * logged.
 */
ngx_shm_zone_t *ngx_http_ffi_status_zone_add(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *size, void *tag);

/* NGX_ERROR, logged: it is too small for so many workers. */
ngx_int_t ngx_http_ffi_status_zone_check(ngx_conf_t *cf, ngx_shm_zone_t *zone,
    ngx_int_t workers);

/*
 * In init_process: has this worker counted there from now on; where that
 * cannot be, which is logged, or zone is NULL, nothing is counted.
 */
void ngx_http_ffi_status_attach(ngx_shm_zone_t *zone);

/* In exit_process, when nothing is counted any more. */
void ngx_http_ffi_status_detach(void);

/* This worker's; NULL where it counts nothing. */
ngx_http_ffi_status_zone_t *ngx_http_ffi_status_zone(void);
ngx_http_ffi_status_worker_t *ngx_http_ffi_status_worker(void);

/*
 * A block of this worker for these names, of which as much is kept as fits;
 * NULL where the zone is full, or has that many names.
 */
ngx_http_ffi_block_t *ngx_http_ffi_status_block(ngx_str_t *runtime,
    ngx_str_t *method);

/*
 * As much of src as there is room for, as UTF-8, without control characters
 * but "\n" and "\t"; its length.
 */
size_t ngx_http_ffi_status_keep(u_char *dst, size_t room, ngx_str_t *src);

/* This worker is to be replaced, by the limit of memory or of requests. */
void ngx_http_ffi_status_replaced(ngx_uint_t rss);

/* Locked: workers that have died without a word count no more. */
void ngx_http_ffi_status_bury(ngx_http_ffi_status_zone_t *z);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_ZONE_H_INCLUDED_ */
