/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PYTHON_ENV_H_INCLUDED_
#define _NGX_HTTP_FFI_PYTHON_ENV_H_INCLUDED_

/*
 * The workers' environment, as nginx's own "env" has it: what is set here is
 * there before anything runs that was loaded.  While nginx.conf is read, and
 * in init_module.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/* Whether a variable may be called so. */
ngx_uint_t ngx_http_ffi_python_env_name(ngx_str_t *name);

/* Sets a variable, whatever "env" has said about it by now. */
ngx_int_t ngx_http_ffi_python_env_set(ngx_cycle_t *cycle, const char *name,
    ngx_str_t *value);

/* HOME, of the workers' user, where the environment would have none. */
ngx_int_t ngx_http_ffi_python_env_home(ngx_cycle_t *cycle);

/*
 * Sets those of a file: lines NAME=value, of which the value may be in
 * quotes, empty ones, and comments behind "#".  NGX_ERROR, with a message,
 * where it cannot be read or has another line.
 */
ngx_int_t ngx_http_ffi_python_env_read(ngx_conf_t *cf, ngx_str_t *file);

/* Paths with a colon between them. */
ngx_int_t ngx_http_ffi_python_join(ngx_conf_t *cf, ngx_array_t *paths,
    ngx_str_t *joined);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PYTHON_ENV_H_INCLUDED_ */
