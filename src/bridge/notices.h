#ifndef BRIDGE_NOTICES_H
#define BRIDGE_NOTICES_H

/* Tells a runtime which of the tasks it has nobody waits for any more. */

#include "queue.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread.  A notice for the queue's runtime, where it watches and
 * memory is there; wakes it.
 */
void bridge_notices_push(bridge_t *b, uint64_t queue, uint64_t task);

/*
 * Any thread.  Up to max handles of tasks that were given up since the last
 * time, in no order; the first call starts the watch.  Some may have been
 * answered meanwhile.
 */
int bridge_notices_take(bridge_t *b, uint64_t queue, uint64_t *handles,
    int max);

/* Host thread.  Frees what nobody has taken; the queue is out of use. */
void bridge_notices_clear(bridge_queue_t *q);

#pragma GCC visibility pop

#endif /* BRIDGE_NOTICES_H */
