/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_THREADS_H
#define BRIDGE_THREADS_H

/* Which threads have polled a queue and still live. */

#include "queue.h"

#pragma GCC visibility push(hidden)

/*
 * The calling thread, inside a poll of a queue that cannot be released:
 * counts it as one of the queue's until it ends.  Where memory or keys run out
 * it is not counted off again (the queue then seems to have a live thread).
 */
void bridge_threads_note(bridge_t *b, uint64_t queue);

/*
 * Any thread.  The kernel's ids of up to max live threads that have polled a
 * queue, or (queue 0) any of the bridge's, each once; returns their number.
 * One that starts or ends meanwhile may or may not be among them.
 */
int bridge_threads_list(bridge_t *b, uint64_t queue, int *tids, int max);

/*
 * The calling thread, inside a poll of a queue that cannot be released, after
 * bridge_threads_note: it has been told that the queue is closed.  Where
 * memory ran out then, it stays one that has not.
 */
void bridge_threads_tell(bridge_t *b, uint64_t queue);

/*
 * Host thread.  Live threads that have ever polled a queue, also one that
 * is gone by now; once for each of their queues.
 */
uint32_t bridge_threads_alive(bridge_t *b);

/*
 * Host thread, for each BRIDGE_NODE_ORPHAN that it has taken.  The queue whose
 * last live thread has ended; by now it may have others, or be another
 * runtime's.
 */
bridge_queue_t *bridge_threads_ended(bridge_node_t *n);

/* Any thread.  The kernel's id of the calling thread. */
int bridge_threads_id(void);

/*
 * Any thread.  Whether this thread has been told before that this queue is
 * closed; remembers it.
 */
bool bridge_threads_told(uint64_t queue);

#pragma GCC visibility pop

#endif /* BRIDGE_THREADS_H */
