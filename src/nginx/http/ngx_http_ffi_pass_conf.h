/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_CONF_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_CONF_H_INCLUDED_

/*
 * What nginx.conf says to ffi_pass.
 *
 * Everything in this folder runs on the worker's main thread.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_runtime.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_array_t              targets;   /* ngx_http_ffi_target_t *, of all
                                           locations */
    ngx_flag_t               show_errors;   /* in pages, to clients */
} ngx_http_ffi_pass_main_conf_t;


typedef struct {
    ngx_str_t                 name;
    ngx_http_complex_value_t  value;
} ngx_http_ffi_pass_param_t;


typedef struct {
    ngx_http_ffi_target_t   *target;    /* NULL: nothing is passed on */
    ngx_str_t                root_path; /* "/api", or "" */
    ngx_array_t             *params;    /* ngx_http_ffi_pass_param_t; NULL:
                                           there are none */
    ngx_flag_t               request_buffering;  /* unset: as target says */
    ngx_flag_t               ignore_client_abort;
    ngx_flag_t               intercept_errors;
    ngx_array_t             *hide_headers;      /* ngx_str_t, in lower case;
                                                   NULL: there are none */
    ngx_msec_t               read_timeout;      /* 0: none */
    ngx_msec_t               send_timeout;      /* unset: nginx's */
} ngx_http_ffi_pass_loc_conf_t;

/*
 * Has the location that is read pass its requests to target, whose root_path
 * it has; is_new: no location did before.  As of a directive's handler.
 */
char *ngx_http_ffi_pass_set(ngx_conf_t *cf, ngx_http_ffi_target_t *target,
    ngx_str_t *root_path, ngx_uint_t is_new);

#pragma GCC visibility pop


extern ngx_module_t  ngx_http_ffi_pass_module;


#endif /* _NGX_HTTP_FFI_PASS_CONF_H_INCLUDED_ */
