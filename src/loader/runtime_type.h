/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_RUNTIME_TYPE_H
#define PYTHON_RUNTIME_TYPE_H

/*
 * `_resty_ffi.Runtime`: takes the tasks of a queue and has handlers answer
 * them.  python/resty_ffi/_serve.py starts the threads that call its methods.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  A new reference, or NULL with an exception set. */
PyObject *runtime_type_new(void);

#endif /* PYTHON_RUNTIME_TYPE_H */
