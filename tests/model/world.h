/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

/* What the scenarios have in common: a bridge, a host, runtimes. */

#include "shim.h"

#include "abi.h"
#include "answer.h"
#include "consumer.h"
#include "end.h"
#include "events.h"
#include "handle.h"
#include "input.h"
#include "log.h"
#include "queue.h"
#include "quiet.h"
#include "send.h"
#include "stream.h"
#include "task.h"
#include "threads.h"
#include "wake.h"

#define TASKS  4

/* all of it is zero when a run begins */
typedef struct {
    bridge_t        *b;
    bridge_queue_t  *q, *q2;
    uint64_t         h, h2;             /* their handles */
    bridge_task_t   *tasks[TASKS];
    uint64_t         handles[TASKS];    /* of the tasks */
    unsigned         taken[TASKS];      /* times, by a poll */
    unsigned         back[TASKS];       /* times, up */
    unsigned         released[TASKS];   /* times */
    unsigned         all_taken, all_back, answers;
    unsigned         ends[MODEL_FIBERS];
    unsigned         nends;
    unsigned         notified;
    char             lines[TASKS + 1];  /* of one byte each, as they came */
    unsigned         nlines;
    unsigned         most_lines;        /* that may wait at once; 0: all */
    bool             logs;              /* a line before each answer */
    unsigned         orphans;
    unsigned         heads[TASKS];      /* that have come up */
    int              status;            /* of the last one */
    unsigned         parts[TASKS];      /* that have come up */
    unsigned         rooms;
    bool             put_off;           /* a wake of the first queue */
    unsigned         event;             /* for world_tell */
} world_t;

extern world_t  world;

/* A bridge with a queue; a scenario's first lines. */
void world_new(void);

/* A task whose number is n, not queued. */
bridge_task_t *world_task(unsigned n);

/* Host.  Makes task n, and pushes it to the first queue. */
void world_push(unsigned n);

/*
 * Runtime.  One poll: counts each task that it gets in taken, or an end;
 * answers them, where that is wanted.  What the poll has returned.
 */
int world_poll(uint64_t queue, unsigned max, int timeout_ms, bool answers);

/* A bridge with task 0, which has been polled. */
void world_polled(void);

/* A release that counts, in an unsigned. */
void world_released(void *arg, int delivered);

/* Host.  Takes what comes up until the first task, or both, are back. */
void world_end_one(void);
void world_end_two(void);

/* Host.  The same, and task 1 is in the same slot at once. */
void world_end_one_and_reuse(void);

/* Host.  The same, once it has cancelled them. */
void world_cancel_one(void);
void world_cancel_two(void);

/* Runtime.  Polls without a bound until there is an end. */
void world_serve(void);
void world_serve_and_answer(void);

/* Host.  Sleeps until so many tasks have been taken. */
void world_until_taken(unsigned n);

/* Host.  Takes what comes up, until n tasks are back. */
void world_until_back(unsigned n);

/* Host.  Takes what is up: counts it, checks that it is ours, frees it. */
void world_drain(void);

/* Host.  Sleeps until the bridge has notified it. */
void world_until_notified(void);

/* Wakes who waits for it; and waits until it has been told n times. */
void world_tell(void);
void world_until_told(unsigned n);
bool world_is_told(void);

#endif /* MODEL_WORLD_H */
