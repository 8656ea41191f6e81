/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_CONSUMER_H
#define BRIDGE_CONSUMER_H

/* How a runtime's threads take tasks out of its queue. */

#include "queue.h"

#pragma GCC visibility push(hidden)

/*
 * Any thread.  Blocks until tasks wait, at most timeout_ms milliseconds
 * (-1: no bound), and takes up to max of them into handles.
 * Returns their number; 0 after the timeout, or for no reason; -1 where
 * the queue is closed and empty, or the handle is stale.
 *
 * max 0 takes none: 0 means that the thread is to poll again, soon.  Until it
 * does, nobody else is woken for what waits.  It leaves tasks to threads that
 * are at work for 1 ms, unless who came last found some.
 */
int bridge_poll(bridge_t *b, uint64_t queue, uint64_t *handles, int max,
    int timeout_ms);

/*
 * Any thread.  The queue's eventfd, made at the first call and closed when
 * the queue is released; -1 where it cannot be had.
 */
int bridge_queue_fd(bridge_t *b, uint64_t queue);

/*
 * Any thread.  Takes what is in the eventfd, if there is one; false where its
 * number is no eventfd's any more.
 */
bool bridge_queue_read_fd(bridge_t *b, uint64_t queue);

/*
 * Any thread.  The next push, kick or close writes to the eventfd, once; so
 * does each poll that returns -1, for other loops on the same eventfd.
 * false where tasks wait, or the queue is closed: poll first.
 */
bool bridge_queue_arm(bridge_t *b, uint64_t queue);

#pragma GCC visibility pop

#endif /* BRIDGE_CONSUMER_H */
