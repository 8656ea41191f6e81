/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_DICT_H
#define PYTHON_DICT_H

/* Dicts that are filled with objects made for them. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * GIL held.  Takes value over.  -1 with an exception set, also where value is
 * NULL: then the exception is that of who has failed to make it.
 */
static inline int
dict_put(PyObject *dict, PyObject *key, PyObject *value)
{
    int  rc;

    rc = value ? PyDict_SetItem(dict, key, value) : -1;
    Py_XDECREF(value);

    return rc;
}

#endif /* PYTHON_DICT_H */
