/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_BUILTIN_H
#define PYTHON_BUILTIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The module `_resty_ffi`, for PyImport_AppendInittab. */
PyObject *builtin_init(void);

#endif /* PYTHON_BUILTIN_H */
