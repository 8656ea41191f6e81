#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

/* What the scenarios have in common: a bridge, a host, runtimes. */

#include "shim.h"

#include "abi.h"
#include "answer.h"
#include "done.h"
#include "handle.h"
#include "notices.h"
#include "queue.h"
#include "task.h"
#include "threads.h"

#define TASKS  4

/* all of it is zero when a run begins */
typedef struct {
    bridge_t        *b;
    bridge_queue_t  *q, *q2;
    uint64_t         h, h2;             /* their handles */
    bridge_task_t   *tasks[TASKS];
    uint64_t         handles[TASKS];    /* of the tasks */
    unsigned         taken[TASKS];      /* times, by a poll */
    unsigned         done[TASKS];       /* times, out of a drain */
    unsigned         released[TASKS];   /* times */
    unsigned         all_taken, all_done, answers;
    unsigned         ends[MODEL_FIBERS];
    unsigned         nends;
    unsigned         wakes;
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

/* Runtime.  Polls without a bound until there is an end. */
void world_serve(void);
void world_serve_and_answer(void);

/* Host.  Sleeps until so many tasks have been taken. */
void world_until_taken(unsigned n);

/* Host.  What is answered, as it comes, until n tasks are done. */
void world_until_done(unsigned n);

/* Host.  One drain: counts in done, checks that it was one of ours, frees. */
void world_drain(void);

/* Host.  Sleeps until the bridge has called for a drain. */
void world_until_woken(void);

/* Wakes who waits for it; and waits until it has been told n times. */
void world_tell(void);
void world_until_told(unsigned n);
bool world_is_told(void);

#endif /* MODEL_WORLD_H */
