/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_INPUT_H
#define BRIDGE_INPUT_H

/* Parts of a request, from the host down to the runtime; see stream.h. */

#include "stream.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread.  Adds a part to the request, a copy of len bytes (of none: does
 * nothing).  0; EAGAIN: the high mark is reached, BRIDGE_NODE_ROOM will come
 * up, unless the answer does; EPIPE: nobody reads it, the task is answered or
 * cancelled; ENOMEM.
 */
int bridge_stream_write(bridge_t *b, bridge_task_t *t, const char *bytes,
    size_t len);

/*
 * Host thread.  Whether a part may be written: 0, EAGAIN or EPIPE as above.
 * After a 0 the next one is not refused for want of room.
 */
int bridge_stream_may_write(bridge_t *b, bridge_task_t *t);

/* Host thread.  The request is complete. */
void bridge_stream_finish(bridge_t *b, bridge_task_t *t);

/*
 * Host thread.  Takes a BRIDGE_NODE_ROOM that has come up: its task, not
 * answered yet.
 */
bridge_task_t *bridge_stream_of_room(bridge_node_t *n);

/* Host thread, for end.c.  Frees what has not been read of a task that ends. */
void bridge_input_drop(bridge_task_t *t);

/* Any thread.  Whether the request goes on in parts; false if stale. */
bool bridge_stream_has_parts(bridge_t *b, uint64_t handle);

/* Any thread.  As resty_ffi_read.  0, EAGAIN or EPIPE. */
int bridge_stream_read(bridge_t *b, uint64_t handle, char **part,
    size_t *len);

#pragma GCC visibility pop

#endif /* BRIDGE_INPUT_H */
