/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_STREAM_H
#define BRIDGE_STREAM_H

/*
 * Answers and requests in parts, with back-pressure in bytes: what both ways
 * have in common; see send.h and input.h.
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

/* what a part, either way, counts for beside its bytes: some 70 */
#define BRIDGE_PART_COST    72

/* what one counts for that is of a file: descriptors are few, 16 are 64 KiB */
#define BRIDGE_FILE_COST    4096

/* what bridge_stream_wait waits for; as in resty_ffi.h */
enum {
    BRIDGE_WRITABLE = 1,
    BRIDGE_READABLE = 2,
    BRIDGE_GONE     = 4,
    BRIDGE_LEAVING  = 8
};


/* ---- host thread ------------------------------------------------------ */

/*
 * Before the task is put to a queue.  high: the mark, 0 for
 * BRIDGE_STREAM_HIGH.  input: whether the request goes on in parts, which
 * bridge_stream_finish ends.  A task of which nothing is said here may send
 * parts all the same.
 */
void bridge_stream_open(bridge_task_t *t, size_t high, bool input);

/* Then: the answer may be an upgrade, of status 101. */
void bridge_stream_offer_upgrade(bridge_task_t *t);

/* The process leaves soon: one event tells of BRIDGE_LEAVING. */
void bridge_stream_tell_leaving(bridge_t *b, bridge_task_t *t);

/* For end.c.  Has threads look again that wait in bridge_stream_wait. */
void bridge_stream_wake(bridge_task_t *t);

/* For end.c.  Of a task that ends: its stream is as if it had none. */
void bridge_stream_clear(bridge_task_t *t);


/* ---- any thread ------------------------------------------------------- */

/*
 * For send.c and input.c.  Locks the stream of a task for whose answer somebody
 * waits; NULL if nobody does.  leave ends that; notify: something was laid up,
 * which the host is to be told of.
 */
bridge_task_t *bridge_stream_enter(bridge_t *b, uint64_t handle);
void bridge_stream_leave(bridge_t *b, bridge_task_t *t, bool notify);

/* The marks of a stream, in bytes. */
size_t bridge_stream_high(const bridge_stream_t *s);
size_t bridge_stream_low(const bridge_stream_t *s);

/* As resty_ffi_wait. */
int bridge_stream_wait(bridge_t *b, uint64_t handle, int events,
    int timeout_ms);

#pragma GCC visibility pop

#endif /* BRIDGE_STREAM_H */
