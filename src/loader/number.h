/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_NUMBER_H
#define PYTHON_NUMBER_H

/* Handles of tasks and queues, which Python has as ints. */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  The handle that number is; false with an exception set. */
static inline bool
number_handle(PyObject *number, void **handle)
{
    *handle = PyLong_AsVoidPtr(number);

    return *handle != NULL || !PyErr_Occurred();
}

#endif /* PYTHON_NUMBER_H */
