/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_H
#define MODEL_H

/*
 * What a program of operations must come to: a plain restatement of what
 * the headers of the bridge promise, for one thread.
 */

#include <stdbool.h>

#include "fuzz.h"

#include "input.h"
#include "queue.h"
#include "send.h"
#include "stream.h"
#include "task.h"

#define MAX_TASKS   256
#define MAX_QUEUES  16
#define MAX_BODY    1024
#define MAX_PARTS   1024
#define MAX_UNREAD  64
#define MAX_UP      (2 * MAX_TASKS + 2 * MAX_PARTS)


enum { QUEUED, POLLED, ANSWERED, GONE };

/* of an answer, or of a request: then it has neither task nor release */
typedef struct {
    bridge_part_t  *part;           /* once it has come up, until freed */
    int             task;           /* its index */
    size_t          len;
    char            fill;           /* each of its bytes */
    bool            has_release;
    int             released;
    int             delivered;
} part_t;

typedef struct {
    bridge_task_t  *task;
    uint64_t        handle;
    int             state;
    int             queue;          /* its index; -1: a start */
    bool            cancelled;
    int64_t         deadline;

    bool            nil;            /* or taken */
    int             req_len;
    char            req[MAX_BODY];
    int             method_len;
    char            method[MAX_BODY];

    bool            rejected;
    int             rc;
    bool            has_rsp;
    size_t          rsp_len;
    char            rsp[MAX_BODY];
    bool            has_release;
    int             released;
    int             delivered;

    size_t          high;
    bool            input;
    bool            finished;
    bool            full;
    bool            starved;
    bool            blocked;
    bool            room_up;
    size_t          unreleased;
    size_t          unread;
    part_t          in[MAX_UNREAD];  /* not read, oldest first */
    int             nin;
    bool            in_events;

    bool            web;            /* req is its head */
    bool            headless;
    int             status;         /* of the head on its way */
    char           *head;           /* malloc'ed; see web.c */
    size_t          head_len;
} task_t;

typedef struct {
    bridge_queue_t *queue;
    uint64_t        handle;
    bool            live;           /* its handle is good */
    bool            closed;
    bool            told;           /* this thread, of the close */
    bool            detached;
    bool            kicked;
    bool            armed;
    bool            readable;
    int             watch;          /* BRIDGE_WATCH_… */
    bool            polled;         /* by any thread */
    bool            polled_here;
    int             fd;
    int             start;          /* index of the task, or -1 */
    uint32_t        limit;
    double          threads;        /* an option */
    int             waiting[MAX_TASKS];
    int             nwaiting;
    int             events[MAX_TASKS];
    int             nevents;
} queue_t;

/* as in bridge.h: ANSWER, HEAD, PART or ROOM; the index of a task or a part */
typedef struct {
    int             kind;
    int             index;
} up_t;

typedef struct {
    task_t          tasks[MAX_TASKS];
    int             ntasks;
    queue_t         queues[MAX_QUEUES];
    int             nqueues;
    part_t          parts[MAX_PARTS];
    int             nparts;
    up_t            up[MAX_UP];         /* oldest first */
    int             nup;
} model_t;


/* The queue of a good handle; NULL. */
queue_t *model_queue(model_t *m, uint64_t handle);

/* The task of a handle that waits for its answer; NULL. */
task_t *model_polled(model_t *m, uint64_t handle);

/* It comes out of the next drain; t, as answered. */
void model_up(model_t *m, task_t *t);
void model_up_node(model_t *m, int kind, int index);

/* What n tasks from the queue come to: how many a poll gets, as indices. */
int model_pop(model_t *m, queue_t *q, int n, int *got);

/* A push or a close. */
void model_signal(queue_t *q);

/* A kick. */
void model_kick(queue_t *q);

/* Something is new about t; nothing is any more. */
void model_tell(model_t *m, task_t *t);
void model_forget(model_t *m, task_t *t);

/* Nobody waits for t any more. */
void model_cancel(model_t *m, task_t *t);

/* Whether the bridge's own counts are these. */
void model_compare(model_t *m, bridge_t *b);

#endif /* MODEL_H */
