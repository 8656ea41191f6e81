/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_SEND_H
#define BRIDGE_SEND_H

/* Parts of an answer, from the runtime up to the host; see stream.h. */

#include "stream.h"

#pragma GCC visibility push(hidden)

/* comes up as BRIDGE_NODE_PART */
typedef struct {
    bridge_node_t      node;
    uint64_t           task;    /* its handle, which may be stale by the time
                                   the part is given back */
    const char        *bytes;   /* NULL: of a file, see file.h */
    size_t             len;     /* at least 1 */
    bridge_release_pt  release; /* NULL: none */
    void              *arg;
    char               copy[];
} bridge_part_t;

/*
 * Host thread.  Ends a part that has come up: calls its release.  What it has
 * held of its task's mark is free again, where the task is not answered yet.
 */
void bridge_part_free(bridge_t *b, bridge_part_t *p, bool delivered);

/* the status of hints, and of a head that gives the connection away */
#define BRIDGE_HEAD_HINTS    103
#define BRIDGE_HEAD_UPGRADE  101

/*
 * Any thread, for head.c.  Brings up the head of an answer, hints before it, or
 * what comes after it (status 0).  0; EINVAL: the task is no web request, or
 * has its head, or has none (status 0), or is offered no upgrade; EPIPE.
 */
int bridge_stream_head(bridge_t *b, uint64_t handle, bridge_node_t *n,
    int status);

/*
 * Any thread.  As resty_ffi_send; with a NULL release and copy set, of a
 * copy.  0, EAGAIN, EINVAL, EPIPE or ENOMEM.
 */
int bridge_stream_send(bridge_t *b, uint64_t handle, const char *bytes,
    size_t len, bool copy, bridge_release_pt release, void *arg);

/*
 * Any thread, for file.c.  Brings up p, which counts for cost bytes: 0, EAGAIN,
 * EINVAL or EPIPE.  may_add: says whether, and brings up nothing; web: only to
 * a web request, else EINVAL.
 */
int bridge_stream_add(bridge_t *b, uint64_t handle, bridge_part_t *p,
    size_t cost);
int bridge_stream_may_add(bridge_t *b, uint64_t handle, size_t cost,
    bool web);

#pragma GCC visibility pop

#endif /* BRIDGE_SEND_H */
