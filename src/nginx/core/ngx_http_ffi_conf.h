/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_CONF_H_INCLUDED_
#define _NGX_HTTP_FFI_CONF_H_INCLUDED_

/*
 * What nginx.conf says to the core.
 *
 * Everything in this folder runs on the worker's main thread; only the
 * bridge's notify callback (in _event.c) is called from others.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)


/* of a worker, which is replaced above them */
typedef struct {
    off_t            max_rss;       /* bytes; 0: no limit */
    ngx_int_t        max_requests;  /* answers of runtimes; likewise */
    ngx_msec_t       timeout;       /* in which one that leaves has to end */
    ngx_shm_zone_t  *zone;          /* NULL: there are no limits */
} ngx_http_ffi_limits_t;


typedef struct {
    ngx_msec_t       exit_timeout;
    ngx_uint_t       umask;
    ngx_shm_zone_t  *status_zone;   /* NULL: nothing is counted */
    ngx_uint_t       log_level;     /* of the most verbose error_log in
                                       http */
    ngx_msec_t       slow_time;     /* 0: no call is slow */

    ngx_http_ffi_limits_t  limits;
} ngx_http_ffi_main_conf_t;


/* of those who call runtimes */
typedef struct {
    ngx_msec_t  timeout;        /* 0: none; or unset */
    ngx_msec_t  load_timeout;   /* 0: none */
    size_t      stream_buffer;  /* high mark of streams; bytes */
} ngx_http_ffi_loc_conf_t;

#pragma GCC visibility pop


extern ngx_module_t  ngx_http_ffi_module;


#endif /* _NGX_HTTP_FFI_CONF_H_INCLUDED_ */
