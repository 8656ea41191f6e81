/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "events.h"
#include "input.h"
#include "stream.h"


static uint64_t
state_of(const bridge_task_t *t)
{
    return atomic_load_explicit(&t->state, memory_order_acquire);
}


static size_t
high_mark(const bridge_stream_t *s)
{
    return s->high ? s->high : BRIDGE_STREAM_HIGH;
}


static size_t
low_mark(const bridge_stream_t *s)
{
    return high_mark(s) / 4;
}


/* whether a state is that of a task with this handle that has no answer */
static bool
is_polled(uint64_t state, uint64_t handle)
{
    return bridge_task_gen(state) == bridge_handle_gen(handle)
           && bridge_task_phase(state) == BRIDGE_TASK_POLLED;
}


/* and that somebody waits for its answer */
static bool
is_waited_for(uint64_t state, uint64_t handle)
{
    return is_polled(state, handle) && !(state & BRIDGE_TASK_CANCEL);
}


/*
 * Locks the stream of a task for whose answer somebody waits; NULL if nobody
 * does.  The flag has an answer wait for the lock, so nothing is sent behind
 * it, and nothing is done here to another task in the same place.
 */
static bridge_task_t *
enter(bridge_t *b, uint64_t handle)
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

    if (!is_waited_for(state_of(t), handle)) {
        pthread_mutex_unlock(&t->stream.lock);
        return NULL;
    }

    return t;
}


static void
leave(bridge_task_t *t)
{
    pthread_mutex_unlock(&t->stream.lock);
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


/* lock held; whether a runtime may still read */
static bool
is_read(const bridge_task_t *t)
{
    uint64_t  state;

    state = state_of(t);

    return bridge_task_phase(state) != BRIDGE_TASK_ANSWERED
           && !(state & BRIDGE_TASK_CANCEL);
}


/* lock held; something can be read; whether an event has to follow */
static bool
feed(bridge_stream_t *s)
{
    bool  starved;

    starved = s->starved;
    s->starved = false;

    pthread_cond_broadcast(&s->changed);

    return starved;
}


int
bridge_stream_write(bridge_t *b, bridge_task_t *t, const char *bytes,
    size_t len)
{
    int               rc;
    bool              tell;
    bridge_input_t   *in;
    bridge_stream_t  *s;

    s = &t->stream;
    tell = false;
    in = NULL;

    if (len) {
        in = bridge_input_new(bytes, len);
        if (in == NULL) {
            return ENOMEM;
        }
    }

    pthread_mutex_lock(&s->lock);

    if (!is_read(t)) {
        rc = EPIPE;

    } else if (in && s->unread >= high_mark(s)) {
        s->blocked = true;
        rc = EAGAIN;

    } else {
        rc = 0;

        if (in) {
            *s->last = in;
            s->last = &in->next;
            s->unread += len + BRIDGE_PART_COST;
            tell = feed(s);
            in = NULL;
        }
    }

    pthread_mutex_unlock(&s->lock);

    bridge_input_free(in);

    if (tell) {
        bridge_events_push(b, t);
    }

    return rc;
}


void
bridge_stream_finish(bridge_t *b, bridge_task_t *t)
{
    bool  tell;

    pthread_mutex_lock(&t->stream.lock);

    t->stream.finished = true;
    tell = feed(&t->stream) && is_read(t);

    pthread_mutex_unlock(&t->stream.lock);

    if (tell) {
        bridge_events_push(b, t);
    }
}


bridge_task_t *
bridge_stream_of_room(bridge_node_t *n)
{
    bridge_task_t  *t;

    t = (bridge_task_t *) ((char *) n - offsetof(bridge_task_t, stream.room));

    pthread_mutex_lock(&t->stream.lock);
    t->stream.room_up = false;
    pthread_mutex_unlock(&t->stream.lock);

    return t;
}


void
bridge_part_free(bridge_t *b, bridge_part_t *p, bool delivered)
{
    bool              tell;
    bridge_task_t    *t;
    bridge_stream_t  *s;

    if (p->release) {
        p->release(p->arg, delivered);
    }

    tell = false;

    t = bridge_task_find(b, p->task);

    if (t) {
        s = &t->stream;

        pthread_mutex_lock(&s->lock);

        s->unreleased -= p->len + BRIDGE_PART_COST;

        if (s->unreleased <= low_mark(s)) {
            tell = s->full
                   && bridge_task_phase(state_of(t)) == BRIDGE_TASK_POLLED;
            s->full = false;
            pthread_cond_broadcast(&s->changed);
        }

        pthread_mutex_unlock(&s->lock);
    }

    if (tell) {
        bridge_events_push(b, t);
    }

    free(p);
}


void
bridge_stream_wake(bridge_task_t *t)
{
    /* who sets the flag later sees what there is to be seen */

    if (state_of(t) & BRIDGE_TASK_STREAM) {
        pthread_mutex_lock(&t->stream.lock);
        pthread_cond_broadcast(&t->stream.changed);
        pthread_mutex_unlock(&t->stream.lock);
    }
}


void
bridge_stream_clear(bridge_task_t *t)
{
    bridge_input_t   *in, *next;
    bridge_stream_t  *s;

    if (!(state_of(t) & BRIDGE_TASK_STREAM)) {
        return;
    }

    s = &t->stream;

    for (in = s->first; in; in = next) {
        next = in->next;
        bridge_input_free(in);
    }

    s->first = NULL;
    s->high = 0;
    atomic_store(&s->input, false);
    s->unreleased = 0;
    s->unread = 0;
    s->headless = false;
    s->finished = false;
    s->full = false;
    s->starved = false;
    s->blocked = false;
    s->room_up = false;
}


/* ---- any thread */


static bridge_part_t *
new_part(uint64_t handle, const char *bytes, size_t len, bool copy)
{
    bridge_part_t  *p;

    if (copy && len > SIZE_MAX - sizeof(bridge_part_t)) {
        return NULL;
    }

    p = malloc(sizeof(bridge_part_t) + (copy ? len : 0));
    if (p == NULL) {
        return NULL;
    }

    p->node.kind = BRIDGE_NODE_PART;
    p->task = handle;
    p->bytes = bytes;
    p->len = len;

    if (copy) {
        memcpy(p->copy, bytes, len);
        p->bytes = p->copy;
    }

    return p;
}


int
bridge_stream_head(bridge_t *b, uint64_t handle, bridge_node_t *n)
{
    int             rc;
    bool            notify;
    bridge_task_t  *t;

    t = enter(b, handle);
    if (t == NULL) {
        return EPIPE;
    }

    rc = 0;
    notify = false;

    if (!t->stream.headless) {
        rc = EINVAL;

    } else {
        t->stream.headless = false;
        notify = bridge_lay_up(b, n);
    }

    leave(t);

    if (notify) {
        bridge_notify(b);
    }

    return rc;
}


int
bridge_stream_send(bridge_t *b, uint64_t handle, const char *bytes,
    size_t len, bool copy, bridge_release_pt release, void *arg)
{
    int               rc;
    bool              notify;
    bridge_part_t    *p;
    bridge_task_t    *t;
    bridge_stream_t  *s;

    p = len ? new_part(handle, bytes, len, copy) : NULL;
    if (len && p == NULL) {
        return ENOMEM;
    }

    t = enter(b, handle);
    if (t == NULL) {
        free(p);
        return EPIPE;
    }

    rc = 0;
    notify = false;
    s = &t->stream;

    if (s->headless) {
        rc = EINVAL;

    } else if (p && s->unreleased >= high_mark(s)) {
        s->full = true;
        rc = EAGAIN;

    } else if (p) {
        s->unreleased += len + BRIDGE_PART_COST;
        p->release = release;
        p->arg = arg;
        notify = bridge_lay_up(b, &p->node);
        p = NULL;
    }

    leave(t);

    free(p);

    if (notify) {
        bridge_notify(b);
    }

    if (rc == 0 && len == 0 && release) {
        release(arg, 1);
    }

    return rc;
}


bool
bridge_stream_has_parts(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = bridge_task_of(b, handle, &state);

    return t && is_polled(state, handle) && (state & BRIDGE_TASK_STREAM)
           && atomic_load(&t->stream.input);
}


int
bridge_stream_read(bridge_t *b, uint64_t handle, char **part, size_t *len)
{
    int               rc;
    bool              notify;
    bridge_task_t    *t;
    bridge_input_t   *in;
    bridge_stream_t  *s;

    *part = NULL;
    *len = 0;

    t = enter(b, handle);
    if (t == NULL) {
        return EPIPE;
    }

    rc = 0;
    notify = false;
    s = &t->stream;
    in = s->first;

    if (in) {
        s->first = in->next;
        s->unread -= in->len + BRIDGE_PART_COST;

        if (s->first == NULL) {
            s->last = &s->first;
        }

        if (s->blocked && s->unread <= low_mark(s)) {
            s->blocked = false;

            /* the host may have written again since it went up */

            if (!s->room_up) {
                s->room_up = true;
                notify = bridge_lay_up(b, &s->room);
            }
        }

    } else if (atomic_load(&s->input) && !s->finished) {
        s->starved = true;
        rc = EAGAIN;
    }

    leave(t);

    if (notify) {
        bridge_notify(b);
    }

    if (in) {
        *part = in->bytes;
        *len = in->len;
        free(in);
    }

    return rc;
}


/* lock held */
static int
ready(const bridge_task_t *t)
{
    int                     events;
    const bridge_stream_t  *s;

    s = &t->stream;
    events = 0;

    if (!s->full && s->unreleased < high_mark(s)) {
        events |= BRIDGE_WRITABLE;
    }

    if (s->first || s->finished || !atomic_load(&s->input)) {
        events |= BRIDGE_READABLE;
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

    t = enter(b, handle);
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

        if (!is_waited_for(state_of(t), handle)) {
            now = BRIDGE_GONE;
            break;
        }
    }

    leave(t);

    return now;
}
