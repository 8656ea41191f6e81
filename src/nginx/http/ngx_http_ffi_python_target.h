/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PYTHON_TARGET_H_INCLUDED_
#define _NGX_HTTP_FFI_PYTHON_TARGET_H_INCLUDED_

/* What python_pass names. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_conf.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_http_ffi_target_t  pass;
    ngx_str_t              app;         /* "[/dir/]module:attr" */
    ngx_str_t              directory;   /* "/dir/", or "" */
    ngx_str_t              module;
    ngx_str_t              interface;   /* "asgi", "wsgi", or "" */

    /* of _python_start.c */
    ngx_shm_zone_t        *starts;
    ngx_shm_zone_t        *restarts;
    ngx_uint_t             n;           /* which of all */
    ngx_queue_t            queue;       /* of those that are held */
    ngx_msec_t             begins;      /* when it may start then */
} ngx_http_ffi_python_target_t;


/*
 * Fills a zeroed target, whose pass has a name and no more, from the arguments
 * of the directive that is read.  NULL, or what is wrong with them, as a
 * directive's handler returns it.
 */
const char *ngx_http_ffi_python_target_parse(ngx_conf_t *cf,
    ngx_http_ffi_python_target_t *target, ngx_str_t *root_path);

/* Whether two name the same application. */
ngx_uint_t ngx_http_ffi_python_target_is(ngx_http_ffi_python_target_t *one,
    ngx_http_ffi_python_target_t *two);

/* Whether their modules, or the packages they are in, are two of one name. */
ngx_uint_t ngx_http_ffi_python_target_shadows(
    ngx_http_ffi_python_target_t *one, ngx_http_ffi_python_target_t *two);

/* What is to be loaded for it. */
ngx_int_t ngx_http_ffi_python_target_init(ngx_conf_t *cf,
    ngx_http_ffi_python_target_t *target);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PYTHON_TARGET_H_INCLUDED_ */
