/* SPDX-License-Identifier: BSD-2-Clause */

#include "wake.h"


/* lock held; whether a loop waits on the eventfd, which is to be written to */
static bool
disarm(bridge_queue_t *q)
{
    bool  armed;

    armed = q->armed;
    q->armed = false;

    return armed;
}


void
bridge_queue_wake(bridge_queue_t *q)
{
    bool  call, wake, write;

    pthread_mutex_lock(&q->lock);
    wake = q->kicked || bridge_queue_len(q);
    write = wake && (disarm(q) || (q->kicked && atomic_load(&q->has_loop)));
    call = bridge_queue_call(q);
    pthread_mutex_unlock(&q->lock);

    if (write) {
        bridge_queue_write_fd(q, true);
    }

    if (call) {
        pthread_cond_signal(&q->changed);
    }
}


bool
bridge_queue_call(bridge_queue_t *q)
{
    if (q->called || q->coming || q->sleepers == 0
        || !(q->kicked || bridge_queue_len(q)))
    {
        return false;
    }

    if (q->napping && bridge_queue_threads(q) > q->sleepers) {
        return false;
    }

    q->called = true;

    return true;
}


bool
bridge_push(bridge_queue_t *q, bridge_task_t *t)
{
    if (!bridge_put(q, t)) {
        return false;
    }

    bridge_queue_wake(q);

    return true;
}


void
bridge_kick(bridge_t *b, uint64_t queue)
{
    bool             host, later, write;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return;
    }

    host = pthread_equal(pthread_self(), b->host);
    later = host && b->kicked;

    pthread_mutex_lock(&q->lock);
    q->kicked = true;
    write = !later && (disarm(q) || atomic_load(&q->has_loop));
    pthread_mutex_unlock(&q->lock);

    if (later) {
        b->kicked(q);
        bridge_queue_unpin(q);
        return;
    }

    if (write) {
        bridge_queue_write_fd(q, host);
    }

    pthread_cond_signal(&q->changed);
    bridge_queue_unpin(q);
}
