/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_WEBSOCKET_TYPE_H
#define PYTHON_WEBSOCKET_TYPE_H

/*
 * `_resty_ffi.WebSockets`: what those of one event loop share; makes
 * `_resty_ffi.WebSocket`, see websocket.h.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  A new reference, or NULL with an exception set. */
PyObject *websockets_type_new(void);

#endif /* PYTHON_WEBSOCKET_TYPE_H */
