/* SPDX-License-Identifier: BSD-2-Clause */

#include "events.h"
#include "threads.h"
#include "wake.h"


/* with the lock held */
static void
unlink_event(bridge_queue_t *q, bridge_task_t *t)
{
    if (t->event_prev) {
        t->event_prev->event_next = t->event_next;

    } else {
        q->first_event = t->event_next;
    }

    if (t->event_next) {
        t->event_next->event_prev = t->event_prev;

    } else {
        q->last_event = t->event_prev;
    }

    atomic_store(&t->in_events, false);
}


void
bridge_events_push(bridge_t *b, bridge_task_t *t)
{
    bridge_queue_t  *q;

    q = bridge_queue_find(b, t->queue);
    if (q == NULL) {
        return;
    }

    pthread_mutex_lock(&q->lock);

    if (!atomic_load(&t->in_events)) {
        t->event_next = NULL;
        t->event_prev = q->last_event;

        if (q->last_event) {
            q->last_event->event_next = t;

        } else {
            q->first_event = t;
        }

        q->last_event = t;
        atomic_store(&t->in_events, true);
    }

    pthread_mutex_unlock(&q->lock);

    switch (atomic_load(&q->watch)) {

    case BRIDGE_WATCH_ANY:
        bridge_kick(b, t->queue);
        break;

    case BRIDGE_WATCH_OWN:

        /* the thread that has the task may be any of those that sleep */

        pthread_cond_broadcast(&q->changed);
        break;

    default: /* BRIDGE_WATCH_NONE */
        break;
    }
}


void
bridge_events_drop(bridge_t *b, bridge_task_t *t)
{
    bridge_queue_t  *q;

    if (!atomic_load(&t->in_events)) {
        return;
    }

    q = bridge_queue_find(b, t->queue);
    if (q == NULL) {
        return;
    }

    pthread_mutex_lock(&q->lock);

    if (atomic_load(&t->in_events)) {
        unlink_event(q, t);
    }

    pthread_mutex_unlock(&q->lock);
}


int
bridge_events_take(bridge_t *b, uint64_t queue, uint64_t *handles, int max,
    bool own)
{
    int              n, tid;
    bridge_task_t   *t, *next;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return 0;
    }

    n = 0;
    tid = own ? bridge_threads_id() : 0;

    pthread_mutex_lock(&q->lock);

    atomic_store(&q->watch, own ? BRIDGE_WATCH_OWN : BRIDGE_WATCH_ANY);

    for (t = q->first_event; t && n < max; t = next) {
        next = t->event_next;

        if (!own
            || atomic_load_explicit(&t->tid, memory_order_relaxed) == tid)
        {
            handles[n++] = bridge_task_handle(t);
            unlink_event(q, t);
        }
    }

    /* nobody else will tell of what is left */

    if (!own && q->first_event) {
        q->kicked = true;
    }

    pthread_mutex_unlock(&q->lock);
    bridge_queue_unpin(q);

    return n;
}
