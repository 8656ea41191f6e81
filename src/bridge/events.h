/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_EVENTS_H
#define BRIDGE_EVENTS_H

/*
 * What goes down to a runtime beside calls: that something is new about a
 * task which it has.  What, it asks.  A task is in its queue's list at most
 * once, so telling needs no memory.
 */

#include "queue.h"
#include "task.h"

#pragma GCC visibility push(hidden)

/* of a queue: who wants to hear of events */
enum {
    BRIDGE_WATCH_NONE = 0,
    BRIDGE_WATCH_ANY  = 1,      /* any thread, of any of the queue's tasks */
    BRIDGE_WATCH_OWN  = 2       /* each thread of the tasks it has taken */
};

/*
 * Host thread.  Something is new about a task.  A thread of WATCH_ANY returns
 * from its poll, and the eventfd is readable; of WATCH_OWN, the thread that
 * has the task returns, and no other.
 */
void bridge_events_push(bridge_t *b, bridge_task_t *t);

/* Host thread.  The task ends: nothing is new about it any more. */
void bridge_events_drop(bridge_t *b, bridge_task_t *t);

/*
 * Any thread.  Up to max handles of tasks about which something has become
 * new, oldest first; own: only of those that this thread has taken.  Polls
 * return for new ones from the first call on, and for those that it leaves.
 */
int bridge_events_take(bridge_t *b, uint64_t queue, uint64_t *handles,
    int max, bool own);

#pragma GCC visibility pop

#endif /* BRIDGE_EVENTS_H */
