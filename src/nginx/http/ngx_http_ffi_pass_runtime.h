/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_RUNTIME_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_RUNTIME_H_INCLUDED_

/* The runtime that a location names. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_http_ffi_target_s  ngx_http_ffi_target_t;

/*
 * Of a target that is not tried again: its first start has succeeded, or
 * failed.  Not called from within a bridge function.
 */
typedef void (*ngx_http_ffi_settled_pt)(ngx_http_ffi_target_t *target,
    ngx_uint_t started);


/* In the place of _start, in init_process. */
typedef void (*ngx_http_ffi_begin_pt)(ngx_http_ffi_target_t *target);


/* Zeroed at first, but for what is to be loaded. */
struct ngx_http_ffi_target_s {
    ngx_http_ffi_load_t       load;
    ngx_str_t                 name;      /* what error.log calls it */
    uint64_t                  id;        /* of its runtime */
    time_t                    failed;    /* when a load has, last */
    ngx_http_ffi_limit_t      said;      /* of messages about it */
    ngx_http_ffi_begin_pt     begin;     /* NULL: it starts with the worker */
    ngx_http_ffi_settled_pt   settled;   /* NULL: it is tried again */
    ngx_str_t                 why;       /* the last load has failed */
    unsigned                  has_id:1;
    unsigned                  dead:1;    /* has failed, or is held */
    unsigned                  request_buffering:1;  /* if nginx.conf is
                                                       silent, before the
                                                       runtime has started */
};


/*
 * target's load, of a library and its cfg, whose data stay; cfg may be NULL.
 * Its name is the library's.
 */
void ngx_http_ffi_target_init(ngx_http_ffi_target_t *target, ngx_str_t *lib,
    ngx_str_t *cfg);

/* In init_process: begins to load it. */
void ngx_http_ffi_target_start(ngx_http_ffi_target_t *target, ngx_log_t *log);

/*
 * The runtime, READY or STARTING, which is loaded where there is none; NULL
 * where that has failed, which is logged.  A load that has failed is tried
 * again, but once a second; not where the target has a settled.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_target_runtime(
    ngx_http_ffi_target_t *target, ngx_log_t *log);

/*
 * A start has failed; why may be empty, and have lines behind the first that
 * are not for error.log.  The target keeps a copy.
 */
void ngx_http_ffi_target_failed(ngx_http_ffi_target_t *target,
    ngx_log_t *log, ngx_str_t *why);

/* It is not loaded, and its requests get 502, until it is released. */
void ngx_http_ffi_target_hold(ngx_http_ffi_target_t *target, ngx_str_t *why);
void ngx_http_ffi_target_release(ngx_http_ffi_target_t *target);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_RUNTIME_H_INCLUDED_ */
