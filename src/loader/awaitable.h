/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_AWAITABLE_H
#define PYTHON_AWAITABLE_H

/*
 * `_resty_ffi.Awaitable`: what ASGI's receive() and send() return.  It does
 * all that a coroutine of Python's does: nothing happens before it is awaited,
 * and it may be a task of its own.  Where there is something to wait for, or
 * somebody looks at it closely, it becomes such a coroutine.
 *
 * GIL held.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "exchange.h"

/* A new reference, or NULL with an exception set. */
PyObject *awaitable_type_new(void);

/* The same; message: what to send, or NULL: it receives. */
PyObject *awaitable_new(exchange_t *exchange, PyObject *message);

#endif /* PYTHON_AWAITABLE_H */
