/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>

#include "events.h"


static void
push(bridge_t *b, uint64_t queue, uint64_t task)
{
    bridge_event_t  *e;
    bridge_queue_t  *q;

    q = bridge_queue_find(b, queue);
    if (q == NULL || !atomic_load(&q->watched)) {
        return;
    }

    e = malloc(sizeof(bridge_event_t));
    if (e == NULL) {
        return;
    }

    e->next = NULL;
    e->task = task;

    pthread_mutex_lock(&q->lock);
    *q->last_event = e;
    q->last_event = &e->next;
    pthread_mutex_unlock(&q->lock);

    bridge_kick(b, queue);
}


void
bridge_task_cancel(bridge_t *b, bridge_task_t *t)
{
    if (bridge_task_mark_cancelled(t)) {
        push(b, t->queue, bridge_task_handle(t));
    }
}


int
bridge_events_take(bridge_t *b, uint64_t queue, uint64_t *handles, int max)
{
    int               n;
    bridge_event_t   *first, *e, *next;
    bridge_queue_t   *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return 0;
    }

    atomic_store(&q->watched, true);

    pthread_mutex_lock(&q->lock);

    first = q->events;
    e = first;

    for (n = 0; n < max && e; n++) {
        handles[n] = e->task;
        e = e->next;
    }

    q->events = e;
    if (e == NULL) {
        q->last_event = &q->events;
    }

    pthread_mutex_unlock(&q->lock);

    for ( /* void */ ; first != e; first = next) {
        next = first->next;
        free(first);
    }

    bridge_queue_unpin(q);

    return n;
}
