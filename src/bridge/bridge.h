/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_H
#define BRIDGE_H

/*
 * The hand-over of requests from one host thread to the threads of any
 * number of runtimes, and of their answers back.
 *
 * Ownership without reference counts: the host owns a task before it is put
 * into a queue and after it has come up again; in between the runtime borrows
 * it and may touch only its answer.  Memory of tasks and queues is pooled and
 * never returned, so a stale handle can always be checked.
 *
 * "Host thread" means the one thread that puts tasks into queues and takes
 * what comes up.
 *
 * Each queue has a lock, which functions of a queue take and hold for a
 * moment, see queue.h; the way up has none.  None blocks for longer except
 * bridge_poll.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

typedef struct bridge_s        bridge_t;
typedef struct bridge_node_s   bridge_node_t;
typedef struct bridge_task_s   bridge_task_t;
typedef struct bridge_queue_s  bridge_queue_t;
typedef struct bridge_line_s   bridge_line_t;
typedef struct bridge_seen_s   bridge_seen_t;

#define BRIDGE_SLOT_BITS   20
#define BRIDGE_MAX_TASKS   (1u << BRIDGE_SLOT_BITS)
#define BRIDGE_MAX_QUEUES  4096
#define BRIDGE_CHUNK       1024

/* what comes up to the host; first in what it is part of */
enum {
    BRIDGE_NODE_ANSWER,     /* bridge_task_t: its answer, or it is rejected */
    BRIDGE_NODE_HEAD,       /* bridge_head_t: of an answer that is to come */
    BRIDGE_NODE_PART,       /* bridge_part_t: of an answer that is to come */
    BRIDGE_NODE_ROOM,       /* bridge_stream_of_room: may be written to */
    BRIDGE_NODE_LINE,       /* bridge_line_t: for the host's log */
    BRIDGE_NODE_ORPHAN      /* bridge_queue_t: its last thread has ended */
};

struct bridge_node_s {
    bridge_node_t  *next;
    int             kind;
};

struct bridge_s {
    pthread_t                 host;

    /* tells the host, from any thread, that there is something to take */
    void                    (*notify)(void *arg);
    void                     *notify_arg;

    /* called for a kick on the host thread, which bridge_queue_wake has to
       follow soon; NULL: it is followed at once */
    void                    (*kicked)(bridge_queue_t *q);

    /* host thread; called for a task with an account that has not been settled,
       before it is cancelled or freed; NULL: nobody counts */
    void                    (*unsettled)(bridge_task_t *t);

    _Atomic(bridge_node_t *)  stack;
    _Atomic uint32_t          nlines;    /* not freed yet, or being made */
    _Atomic uint32_t          lost_lines;
    _Atomic int               log_level; /* the host's: lines above it are
                                            not written */
    _Atomic uint32_t          threads;   /* that poll, once for each queue */
    _Atomic(bridge_seen_t *)  seen;      /* what threads.c knows of them; never
                                            freed, so that all may walk it */
    _Atomic bool              quiet;     /* the host looks by itself, see
                                            quiet.h */
    _Atomic bool              dead;
    _Atomic bool              exiting;
    _Atomic int64_t           exit_at;   /* ms: when threads of runtimes are
                                            waited for no longer; 0: not yet */

    _Atomic(bridge_task_t *)  chunks[BRIDGE_MAX_TASKS / BRIDGE_CHUNK];
    bridge_task_t            *free_tasks;
    uint32_t                  ntasks;
    uint32_t                  live_tasks;

    _Atomic(bridge_queue_t *) queues[BRIDGE_MAX_QUEUES];
    uint32_t                  nqueues;
};

/*
 * Host thread.  Prepares *b, which must be zeroed and outlive every thread
 * that may hold a handle.  notify is called from any thread, when something
 * comes up and nothing waits; it must not block.
 */
void bridge_init(bridge_t *b, void (*notify)(void *arg), void *arg);

/*
 * After fork, in the child: from now on no function touches anything, so
 * that the parent's tasks are answered by the parent alone.
 */
void bridge_mark_dead(bridge_t *b);

/*
 * Any thread.  Brings n up; it is the host's, or as its kind says.  What
 * comes up later is taken later.
 */
void bridge_up(bridge_t *b, bridge_node_t *n);

/*
 * Any thread.  The same without a system call: whether bridge_notify has to
 * follow.
 */
bool bridge_lay_up(bridge_t *b, bridge_node_t *n);
void bridge_notify(bridge_t *b);

/* Host thread.  All that has come up, oldest first. */
bridge_node_t *bridge_take(bridge_t *b);

#pragma GCC visibility pop

#endif /* BRIDGE_H */
