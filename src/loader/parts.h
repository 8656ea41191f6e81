/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_PARTS_H
#define PYTHON_PARTS_H

/*
 * Parts of an answer that a handler sends itself, and of a request that it
 * reads.  GIL held.
 */

#include "runtime.h"

/*
 * Sends a part if there is room: 0, or EAGAIN or EPIPE as of resty_ffi_send;
 * -1 with an exception set.  callbacks: as of reply_send_part.
 */
int parts_send_now(runtime_t *runtime, void *task, PyObject *part,
    PyObject **callbacks);

/*
 * The same, but gives up the GIL and waits for room: 0, or -1 with an
 * exception set: RuntimeError on the thread of an event loop, BrokenPipeError
 * where nobody waits for the answer any more.
 */
int parts_send(runtime_t *runtime, void *task, PyObject *part,
    PyObject **callbacks);

/*
 * The next part of the request: bytes, b"" at the end; None where it has not
 * come yet.  NULL with an exception set: BrokenPipeError as above.
 */
PyObject *parts_read_now(void *task);

/* The same, but waits for it as parts_send does. */
PyObject *parts_read(runtime_t *runtime, void *task);

/* What of the request has come with the call: bytes. */
PyObject *parts_first(void *task);

#endif /* PYTHON_PARTS_H */
