/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_LIBRARY_H_INCLUDED_
#define _NGX_HTTP_FFI_LIBRARY_H_INCLUDED_

/* The libraries that hold runtimes, and what they export (resty_ffi.h). */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


typedef int (*ngx_http_ffi_init_pt)(char *cfg, void *tq);


/*
 * A reference of dlopen's.  lib: an absolute path, or a name, which is left
 * to the dynamic linker; "x" stands for "libx.so".  NULL with the reason in
 * err (*errlen bytes of room; becomes its length).
 */
void *ngx_http_ffi_library_open(ngx_str_t *lib, ngx_uint_t is_global,
    u_char *err, size_t *errlen);

/*
 * What starts a runtime; NULL with the reason, likewise.  Remembers a
 * library that wants to be told of the exit.
 */
ngx_http_ffi_init_pt ngx_http_ffi_library_init(void *library,
    u_char *err, size_t *errlen);

/* Whether a start is reported later, by resty_ffi_started. */
ngx_uint_t ngx_http_ffi_library_async(void *library);

/*
 * Has the library, where it can, write to error.log what the threads of the
 * runtime with the queue tq do.
 */
void ngx_http_ffi_library_report(void *library, void *tq);

/*
 * Asks what a task that the thread tid has taken (0: none) does, which comes as
 * a line of the task; NGX_DECLINED where the library cannot tell.
 */
ngx_int_t ngx_http_ffi_library_describe(void *library, void *tsk, int tid);

/* What runs in it, as "CPython 3.11.2"; NULL where it does not say. */
const char *ngx_http_ffi_library_about(void *library);

/*
 * Keeps this module in memory: nginx closes it before the process ends, with
 * threads of runtimes in it.  Nothing to do where it is part of nginx.
 */
void ngx_http_ffi_library_pin(void);

/* In exit_process: lets each such library end, in ms milliseconds. */
void ngx_http_ffi_libraries_exit(ngx_msec_t ms);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_LIBRARY_H_INCLUDED_ */
