/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_EXCHANGES_H
#define PYTHON_EXCHANGES_H

/*
 * `_resty_ffi.Exchange`, of which ASGI's receive and send are methods, and
 * which the class in web/_exchange.py has as its base; and
 * `_resty_ffi.Exchanges`, which makes those of one application.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  New references, or NULL with an exception set. */
PyObject *exchange_type_new(void);
PyObject *exchanges_type_new(void);

#endif /* PYTHON_EXCHANGES_H */
