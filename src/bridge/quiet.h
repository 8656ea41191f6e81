/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_QUIET_H
#define BRIDGE_QUIET_H

/*
 * Answers that come one by one from a thread that has more to do: the host
 * need not be woken for each.  Only while it has promised to look by itself,
 * and only those of queues that ask for it (bridge_queue_t.quiet).
 */

#include "queue.h"

#pragma GCC visibility push(hidden)

/*
 * Any thread, which has laid something up for a task of queue.  Notifies the
 * host; or does not where tasks wait in queue, this thread has notified it
 * less than the queue's quiet microseconds ago, and the host looks.
 */
void bridge_quiet_notify(bridge_t *b, uint64_t queue);

/*
 * The same thread, which polls q, with that timeout.  Notifies the host of
 * what it was not told, unless tasks wait that this poll takes at once.
 */
void bridge_quiet_poll(bridge_t *b, bridge_queue_t *q, int timeout_ms);

/* Host thread.  Whether answers of q would be quiet now. */
bool bridge_quiet_backlog(const bridge_queue_t *q);

/* Host thread.  It takes what has come up every few milliseconds from now. */
void bridge_quiet_begin(bridge_t *b);

/*
 * Host thread.  It does no more: from now on it is notified.  What has come up
 * before has to be taken now.
 */
void bridge_quiet_end(bridge_t *b);

/* Host thread.  Whether it has begun; and whether any queue has a backlog. */
bool bridge_quiet_begun(bridge_t *b);
bool bridge_quiet_any(bridge_t *b);

#pragma GCC visibility pop

#endif /* BRIDGE_QUIET_H */
