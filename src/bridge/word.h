#ifndef BRIDGE_WORD_H
#define BRIDGE_WORD_H

/* The bits of bridge_queue_t.word, for queue.c and poll.c; see queue.h. */

#include "queue.h"

#pragma GCC visibility push(hidden)

#define CLOSED    1u
#define ARMED     2u
#define WOKEN     4u
#define SLEEPER   8u
#define SLEEPERS  (511u << 3)
#define WAITING   (1u << 12)

/*
 * Any thread that has the queue pinned, or the host.  Wakes up to n of those
 * who have to hear of a change of the word, which was w before.  host:
 * whether it is the host that calls.
 */
void bridge_word_announce(bridge_queue_t *q, uint32_t w, int n, bool host);

#pragma GCC visibility pop

#endif /* BRIDGE_WORD_H */
