/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_WAKE_H
#define BRIDGE_WAKE_H

/*
 * How consumers of a queue that sleep, on its condition variable or in their
 * event loop, come to know that they have something to do.
 */

#include "queue.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread.  Wakes a consumer where tasks or a kick wait, one sleeps and
 * none is on its way; who leaves something wakes the next one.
 */
void bridge_queue_wake(bridge_queue_t *q);

/* With the lock held.  Whether `changed` is to be signalled for that. */
bool bridge_queue_call(bridge_queue_t *q);

/* Host thread.  bridge_put, and bridge_queue_wake where it has put t. */
bool bridge_push(bridge_queue_t *q, bridge_task_t *t);

/*
 * Any thread.  Makes one thread that sleeps in a poll return, with 0 or with
 * tasks that came meanwhile, and the eventfd readable, armed or not.  On the
 * host thread that is left to b->kicked, where it is set.
 */
void bridge_kick(bridge_t *b, uint64_t queue);

#pragma GCC visibility pop

#endif /* BRIDGE_WAKE_H */
