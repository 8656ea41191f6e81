/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_WEBSOCKET_H
#define PYTHON_WEBSOCKET_H

/*
 * `_resty_ffi.WebSockets`: what those of one event loop share; makes
 * `_resty_ffi.WebSocket`: an upgraded connection, as messages.
 *
 * What has come is taken as far as 64 KiB of messages wait, and pings are
 * answered then.  A close frame, and what is wrong, ends it when the messages
 * before it have been taken; at the next ping in any case.  Of control frames that are to go out one of each kind waits
 * for room, the last one: no client makes them many.
 *
 * GIL held, on the loop's thread.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* A new reference, or NULL with an exception set. */
PyObject *websockets_type_new(void);

#endif /* PYTHON_WEBSOCKET_H */
