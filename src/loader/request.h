/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_REQUEST_H
#define PYTHON_REQUEST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * GIL held.  The type of what owns a request's bytes for the memoryviews of
 * them: a slice may outlive the view it was made from.  A new reference, or
 * NULL with an exception set.
 */
PyObject *request_type_new(void);

/*
 * GIL held.  A memoryview of the request of a task that this thread has;
 * large requests are not copied.  A new reference, or NULL with an exception
 * set.
 */
PyObject *request_view(PyTypeObject *type, void *task);

#endif /* PYTHON_REQUEST_H */
