/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_CALL_PARTS_H
#define PYTHON_CALL_PARTS_H

/*
 * Methods of `_resty_ffi.Call` that send parts of the answer and read parts of
 * the request.  GIL held; NULL with an exception set.
 */

#include "call.h"

/* Sends a part, and waits without the GIL until there is room for it. */
PyObject *call_send(call_t *call, PyObject *part);

/* Sends a part if there is room: 0, or the error number of resty_ffi_send. */
PyObject *call_send_now(call_t *call, PyObject *part);

/* What has come with the call: bytes. */
PyObject *call_first(call_t *call, PyObject *unused);

/*
 * The next part of the request: bytes, b"" at the end; None where it has not
 * come yet.  BrokenPipeError where nobody waits any more.
 */
PyObject *call_read_now(call_t *call, PyObject *unused);

/* The same, but waits for it without the GIL. */
PyObject *call_read(call_t *call, PyObject *unused);

#endif /* PYTHON_CALL_PARTS_H */
