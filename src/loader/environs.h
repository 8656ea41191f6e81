/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_ENVIRONS_H
#define PYTHON_ENVIRONS_H

/* `_resty_ffi.Environs`: makes the environ of web requests. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  A new reference, or NULL with an exception set. */
PyObject *environs_type_new(void);

#endif /* PYTHON_ENVIRONS_H */
