/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_SIGNAL_H_INCLUDED_
#define _NGX_HTTP_FFI_SIGNAL_H_INCLUDED_

/* What nginx's signal handlers would do to children of a runtime. */

#pragma GCC visibility push(hidden)


/*
 * In a worker, once, before its first runtime: children are left to whoever
 * waits for them, and a forked one has no handlers of nginx's.
 */
void ngx_http_ffi_signals_init(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_SIGNAL_H_INCLUDED_ */
