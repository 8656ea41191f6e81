/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_WEBSOCKET_SEND_H
#define PYTHON_WEBSOCKET_SEND_H

/* Messages of a WebSocket that go out. */

#include "websocket.h"

/*
 * GIL held.  Sends what a message of ASGI has, "bytes" or "text": 0; EAGAIN:
 * there is no room now; EPIPE: it is closed, or nobody is there; ENOMEM.  -1
 * with an exception set: it has neither, or of another type.
 */
int websocket_send(websocket_t *self, PyObject *message);

#endif /* PYTHON_WEBSOCKET_SEND_H */
