/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_HEADS_H
#define PYTHON_HEADS_H

/*
 * `_resty_ffi.Heads`: the heads of web requests as ASGI has them, and those of
 * their answers.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  A new reference, or NULL with an exception set. */
PyObject *heads_type_new(void);

#endif /* PYTHON_HEADS_H */
