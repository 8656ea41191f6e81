/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_STREAM_H
#define BRIDGE_STREAM_H

/*
 * Answers and requests in parts, with back-pressure in bytes.
 *
 * Up: parts are nodes of the same stack as answers, so a task's parts come
 * before its answer.  The host gives each back with bridge_part_free; a
 * runtime may send while less than the high mark has not been given back.
 * Down: the host writes copies; a runtime reads them.  The host may write
 * while less than the high mark has not been read.
 * Who is told to wait is told to go on at a quarter of the high mark, once.
 *
 * A task's lock guards its stream.  Who holds it makes no system call and
 * calls nobody, and takes no other lock.
 */

#include "task.h"

#pragma GCC visibility push(hidden)

/* the high mark where the host says nothing */
#define BRIDGE_STREAM_HIGH  65536

/* what a part counts for beside its bytes: it, as malloc has it */
#define BRIDGE_PART_COST    (sizeof(bridge_part_t) + 2 * sizeof(void *))

/* comes up as BRIDGE_NODE_PART */
typedef struct {
    bridge_node_t      node;
    uint64_t           task;    /* its handle, which may be stale by the time
                                   the part is given back */
    const char        *bytes;
    size_t             len;     /* at least 1 */
    bridge_release_pt  release; /* NULL: none */
    void              *arg;
    char               copy[];
} bridge_part_t;

/* what bridge_stream_wait waits for; as in resty_ffi.h */
enum {
    BRIDGE_WRITABLE = 1,
    BRIDGE_READABLE = 2,
    BRIDGE_GONE     = 4
};


/* ---- host thread ------------------------------------------------------ */

/*
 * Before the task is put to a queue.  high: the mark, 0 for
 * BRIDGE_STREAM_HIGH.  input: whether the request goes on in parts, which
 * bridge_stream_finish ends.  A task of which nothing is said here may send
 * parts all the same.
 */
void bridge_stream_open(bridge_task_t *t, size_t high, bool input);

/*
 * Adds a part to the request, a copy of len bytes (of none: does nothing).
 * 0; EAGAIN: the high mark is reached, BRIDGE_NODE_ROOM will come up, unless
 * the answer does; EPIPE: nobody reads it, the task is answered or cancelled;
 * ENOMEM.
 */
int bridge_stream_write(bridge_t *b, bridge_task_t *t, const char *bytes,
    size_t len);

/* The request is complete. */
void bridge_stream_finish(bridge_t *b, bridge_task_t *t);

/* Takes a BRIDGE_NODE_ROOM that has come up: its task, not answered yet. */
bridge_task_t *bridge_stream_of_room(bridge_node_t *n);

/*
 * Ends a part that has come up: calls its release.  What it has held of its
 * task's mark is free again, where the task is not answered yet.
 */
void bridge_part_free(bridge_t *b, bridge_part_t *p, bool delivered);

/* For end.c.  Has threads look again that wait in bridge_stream_wait. */
void bridge_stream_wake(bridge_task_t *t);

/* For end.c.  Frees what has not been read of a task that ends. */
void bridge_stream_clear(bridge_task_t *t);


/* ---- any thread ------------------------------------------------------- */

/*
 * For head.c.  Brings up the head of an answer.  0; EINVAL: the task is no
 * web request, or has its head; EPIPE.
 */
int bridge_stream_head(bridge_t *b, uint64_t handle, bridge_node_t *n);

/*
 * As resty_ffi_send; with a NULL release and copy set, of a copy.  0, EAGAIN,
 * EINVAL, EPIPE or ENOMEM.
 */
int bridge_stream_send(bridge_t *b, uint64_t handle, const char *bytes,
    size_t len, bool copy, bridge_release_pt release, void *arg);

/* Whether the request of a task goes on in parts; false if stale. */
bool bridge_stream_has_parts(bridge_t *b, uint64_t handle);

/* As resty_ffi_read.  0, EAGAIN or EPIPE. */
int bridge_stream_read(bridge_t *b, uint64_t handle, char **part,
    size_t *len);

/* As resty_ffi_wait. */
int bridge_stream_wait(bridge_t *b, uint64_t handle, int events,
    int timeout_ms);

#pragma GCC visibility pop

#endif /* BRIDGE_STREAM_H */
