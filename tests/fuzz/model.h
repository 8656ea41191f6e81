/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_H
#define MODEL_H

/*
 * What a program of operations must come to: a plain restatement of what
 * the headers of the bridge promise, for one thread.
 */

#include <stdbool.h>

#include "fuzz.h"

#include "queue.h"
#include "task.h"

#define MAX_TASKS   256
#define MAX_QUEUES  16
#define MAX_BODY    1024


enum { QUEUED, POLLED, ANSWERED, GONE };

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
    bool            watched;
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

typedef struct {
    task_t          tasks[MAX_TASKS];
    int             ntasks;
    queue_t         queues[MAX_QUEUES];
    int             nqueues;
    int             up[MAX_TASKS];      /* answered, oldest first */
    int             nup;
} model_t;


/* The queue of a good handle; NULL. */
queue_t *model_queue(model_t *m, uint64_t handle);

/* The task of a handle that waits for its answer; NULL. */
task_t *model_polled(model_t *m, uint64_t handle);

/* t comes out of the next drain. */
void model_up(model_t *m, task_t *t);

/* What n tasks from the queue come to: how many a poll gets, as indices. */
int model_pop(model_t *m, queue_t *q, int n, int *got);

/* A push or a close. */
void model_signal(queue_t *q);

/* A kick. */
void model_kick(queue_t *q);

/* Nobody waits for t any more. */
void model_cancel(model_t *m, task_t *t);

/* Whether the bridge's own counts are these. */
void model_compare(model_t *m, bridge_t *b);

#endif /* MODEL_H */
