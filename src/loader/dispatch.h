/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_DISPATCH_H
#define PYTHON_DISPATCH_H

/*
 * Methods of `_resty_ffi.Runtime` (see their docs in runtime_type.c): how calls
 * come from the queue to handlers.  GIL held; NULL with an exception set.
 */

#include "runtime.h"

PyObject *dispatch_serve(runtime_t *self, PyObject *args);
PyObject *dispatch_accept(runtime_t *self, PyObject *args);
PyObject *dispatch_answer(runtime_t *self, PyObject *args);
PyObject *dispatch_events(runtime_t *self, PyObject *unused);
PyObject *dispatch_cancel(runtime_t *self, PyObject *task);
PyObject *dispatch_fileno(runtime_t *self, PyObject *unused);
PyObject *dispatch_notify(runtime_t *self, PyObject *unused);

#endif /* PYTHON_DISPATCH_H */
