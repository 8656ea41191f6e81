/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PYTHON_START_H_INCLUDED_
#define _NGX_HTTP_FFI_PYTHON_START_H_INCLUDED_

/*
 * How the applications of a worker start, and what becomes of one whose start
 * ends the worker: nginx's master starts another at once, which would go on
 * for ever.
 *
 * What starts is marked in shared memory, of the worker's number.  What is
 * marked when a worker begins was starting when the one before it ended, and
 * is held: its requests get 502.  It starts after 1 s, and after twice as
 * long each time, 30 s at most; alone, so that the next mark is no other's.
 * From the second time on it stays held where anything else serves: that
 * would end with it.  A start that ends otherwise, and a reload, begin anew.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/*
 * Of a configuration that is read, whose targets, of type
 * ngx_http_ffi_python_target_t *, are complete: has them start so.
 */
ngx_int_t ngx_http_ffi_python_starts(ngx_conf_t *cf, ngx_array_t *targets,
    void *tag);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PYTHON_START_H_INCLUDED_ */
