/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_READ_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_READ_H_INCLUDED_

/* What all workers have counted, as of now, added up. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_block.h"
#include "ngx_http_ffi_status_zone.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_str_t               runtime;
    ngx_str_t               method;
    ngx_http_ffi_counts_t  *counts;
} ngx_http_ffi_status_row_t;


typedef struct {
    ngx_pid_t               pid;
    ngx_uint_t              worker;
    ngx_uint_t              generation;
    time_t                  started;
    uint64_t                threads;
    uint64_t                resident;   /* bytes */
    ngx_str_t               about;      /* or empty */
} ngx_http_ffi_status_process_t;


typedef struct {
    ngx_array_t             methods;    /* ngx_http_ffi_status_row_t, by
                                           runtime and method, that have
                                           counted something */
    ngx_array_t             runtimes;   /* likewise, sums, in the same order;
                                           method.data is NULL */
    ngx_array_t             workers;    /* ngx_http_ffi_status_process_t */
    ngx_array_t             records[NGX_HTTP_FFI_NRECORDS];
                                        /* ngx_http_ffi_status_record_t, the
                                           last one first */
    ngx_uint_t              generation;
    uint64_t                restarts;
    uint64_t                replaced[2];    /* by requests, by memory */
    uint64_t                full;       /* times the zone had no room */
    size_t                  size;       /* of the zone, in bytes */
    size_t                  free;
} ngx_http_ffi_status_t;


/*
 * All is in pool.  NGX_DECLINED: nothing is counted in this worker; NGX_ERROR:
 * memory ran out.
 */
ngx_int_t ngx_http_ffi_status_read(ngx_pool_t *pool,
    ngx_http_ffi_status_t *status);

/* How many a histogram has. */
uint64_t ngx_http_ffi_status_count(ngx_http_ffi_histogram_t *h);

/* "ok" and so on. */
extern const char *const  ngx_http_ffi_outcomes[NGX_HTTP_FFI_NOUTCOMES];

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_READ_H_INCLUDED_ */
