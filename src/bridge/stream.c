/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>

#include "clock.h"
#include "events.h"
#include "quiet.h"
#include "stream.h"


size_t
bridge_stream_high(const bridge_stream_t *s)
{
    return s->high ? s->high : BRIDGE_STREAM_HIGH;
}


size_t
bridge_stream_low(const bridge_stream_t *s)
{
    return bridge_stream_high(s) / 4;
}


/* whether somebody waits for the answer of a task that has none */
static bool
is_waited_for(uint64_t state, uint64_t handle)
{
    return bridge_task_is_polled(state, handle)
           && !(state & BRIDGE_TASK_CANCEL);
}


/*
 * The flag has an answer wait for the lock, so nothing is sent behind it, and
 * nothing is done to another task in the same place.
 */
bridge_task_t *
bridge_stream_enter(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = bridge_task_of(b, handle, &state);
    if (t == NULL) {
        return NULL;
    }

    while (!(state & BRIDGE_TASK_STREAM)) {
        if (!is_waited_for(state, handle)) {
            return NULL;
        }

        if (atomic_compare_exchange_weak_explicit(&t->state, &state,
                                                  state | BRIDGE_TASK_STREAM,
                                                  memory_order_acq_rel,
                                                  memory_order_acquire))
        {
            break;
        }
    }

    pthread_mutex_lock(&t->stream.lock);

    if (!is_waited_for(bridge_task_state(t), handle)) {
        pthread_mutex_unlock(&t->stream.lock);
        return NULL;
    }

    return t;
}


void
bridge_stream_leave(bridge_t *b, bridge_task_t *t, bool notify)
{
    uint64_t  queue;

    queue = t->queue;

    pthread_mutex_unlock(&t->stream.lock);

    if (notify) {
        bridge_quiet_notify(b, queue);
    }
}


/* ---- host thread */


void
bridge_stream_open(bridge_task_t *t, size_t high, bool input)
{
    t->stream.high = high;
    atomic_store(&t->stream.input, input);
    t->stream.last = &t->stream.first;
    t->stream.headless = atomic_load_explicit(&t->web, memory_order_relaxed);

    atomic_fetch_or_explicit(&t->state, BRIDGE_TASK_STREAM,
                             memory_order_relaxed);
}


void
bridge_stream_offer_upgrade(bridge_task_t *t)
{
    t->stream.upgrade = true;
}


void
bridge_stream_tell_leaving(bridge_t *b, bridge_task_t *t)
{
    pthread_mutex_lock(&t->stream.lock);
    t->stream.leaving = true;
    pthread_cond_broadcast(&t->stream.changed);
    pthread_mutex_unlock(&t->stream.lock);

    bridge_events_push(b, t);
}


void
bridge_stream_wake(bridge_task_t *t)
{
    /* who sets the flag later sees what there is to be seen */

    if (bridge_task_state(t) & BRIDGE_TASK_STREAM) {
        pthread_mutex_lock(&t->stream.lock);
        pthread_cond_broadcast(&t->stream.changed);
        pthread_mutex_unlock(&t->stream.lock);
    }
}


void
bridge_stream_clear(bridge_task_t *t)
{
    bridge_stream_t  *s;

    s = &t->stream;

    s->high = 0;
    atomic_store(&s->input, false);
    s->unreleased = 0;
    s->unread = 0;
    s->headless = false;
    s->upgrade = false;
    s->leaving = false;
    s->finished = false;
    s->full = false;
    s->starved = false;
    s->blocked = false;
    s->room_up = false;
}


/* ---- any thread */


/* lock held */
static int
ready(const bridge_task_t *t)
{
    int                     events;
    const bridge_stream_t  *s;

    s = &t->stream;
    events = 0;

    if (!s->full && s->unreleased < bridge_stream_high(s)) {
        events |= BRIDGE_WRITABLE;
    }

    if (s->first || s->finished || !atomic_load(&s->input)) {
        events |= BRIDGE_READABLE;
    }

    if (s->leaving) {
        events |= BRIDGE_LEAVING;
    }

    return events;
}


int
bridge_stream_wait(bridge_t *b, uint64_t handle, int events, int timeout_ms)
{
    int               now;
    bool              late;
    bridge_task_t    *t;
    struct timespec   deadline;
    bridge_stream_t  *s;

    if (timeout_ms > 0) {
        deadline = bridge_deadline_in(timeout_ms);
    }

    t = bridge_stream_enter(b, handle);
    if (t == NULL) {
        return BRIDGE_GONE;
    }

    s = &t->stream;
    late = timeout_ms == 0;

    for ( ;; ) {
        now = ready(t) & events;

        if (now || late) {
            break;
        }

        if (timeout_ms < 0) {
            pthread_cond_wait(&s->changed, &s->lock);

        } else {
            late = pthread_cond_timedwait(&s->changed, &s->lock, &deadline)
                   == ETIMEDOUT;
        }

        if (!is_waited_for(bridge_task_state(t), handle)) {
            now = BRIDGE_GONE;
            break;
        }
    }

    bridge_stream_leave(b, t, false);

    return now;
}
