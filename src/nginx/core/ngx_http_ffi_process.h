/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PROCESS_H_INCLUDED_
#define _NGX_HTTP_FFI_PROCESS_H_INCLUDED_

/* Makes a worker one that has runtimes, and tells when it begins to quit. */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/*
 * Who calls runtimes, and is told when the worker begins to quit: abort, ms
 * after which it lets nobody wait without a deadline or a client, end, ms
 * after which it lets nobody wait, 0 for no bound.  And, in exit_process,
 * before runtimes are unloaded.  Each may be NULL.
 */
typedef struct ngx_http_ffi_quit_s  ngx_http_ffi_quit_t;

struct ngx_http_ffi_quit_s {
    void                  (*handler)(ngx_msec_t abort, ngx_msec_t end);
    void                  (*exit)(void);
    ngx_http_ffi_quit_t  *next;
};


/*
 * Makes this process one that can call runtimes: eventfd, bridge, malloc,
 * signals, stderr.  Does nothing the second time.  threads_ended is called
 * where the last thread of some runtime has ended.  NGX_ERROR where there is
 * no connection or descriptor left.
 */
ngx_int_t ngx_http_ffi_process_init(void (*threads_ended)(void));

/* In init_process: has q, which stays, told. */
void ngx_http_ffi_on_quit(ngx_http_ffi_quit_t *q);

/* In exit_process: tells all. */
void ngx_http_ffi_tell_exit(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PROCESS_H_INCLUDED_ */
