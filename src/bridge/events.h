/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_EVENTS_H
#define BRIDGE_EVENTS_H

/*
 * What goes down to a runtime beside calls: that something is new about a
 * task which it has.  What, it asks; today there is one thing, that nobody
 * waits for the answer any more.
 */

#include "queue.h"
#include "task.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread.  Nobody waits for the answer any more: a poll passes over
 * the task, whose request is freed.  A runtime that has it may ask, and is
 * told and kicked, where it takes events and memory is there.  The task still
 * comes up.
 */
void bridge_task_cancel(bridge_t *b, bridge_task_t *t);

/*
 * Any thread.  Up to max handles of tasks about which something has become
 * new, oldest first; the queue's runtime is told from the first call on.
 * Some may have been answered meanwhile.
 */
int bridge_events_take(bridge_t *b, uint64_t queue, uint64_t *handles,
    int max);

#pragma GCC visibility pop

#endif /* BRIDGE_EVENTS_H */
