/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "input.h"


struct bridge_input_s {
    bridge_input_t  *next;
    char            *bytes;     /* malloc'ed, with a NUL behind them; the
                                   reader's from then on */
    size_t           len;
};


static bridge_input_t *
new_input(const char *bytes, size_t len)
{
    bridge_input_t  *in;

    in = malloc(sizeof(bridge_input_t));
    if (in == NULL) {
        return NULL;
    }

    in->bytes = malloc(len + 1);
    if (in->bytes == NULL) {
        free(in);
        return NULL;
    }

    memcpy(in->bytes, bytes, len);
    in->bytes[len] = '\0';
    in->len = len;
    in->next = NULL;

    return in;
}


static void
free_input(bridge_input_t *in)
{
    free(in->bytes);
    free(in);
}


/* lock held; whether a runtime may still read */
static bool
is_read(const bridge_task_t *t)
{
    uint64_t  state;

    state = bridge_task_state(t);

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


/* lock held; 0, EAGAIN or EPIPE, as bridge_stream_write */
static int
may_write(bridge_task_t *t, size_t len)
{
    if (!is_read(t)) {
        return EPIPE;
    }

    if (len && t->stream.unread >= bridge_stream_high(&t->stream)) {
        t->stream.blocked = true;
        return EAGAIN;
    }

    return 0;
}


/* the same; takes in over, of len bytes, if it returns 0; NULL: only asks */
static int
add_input(bridge_t *b, bridge_task_t *t, bridge_input_t *in, size_t len)
{
    int               rc;
    bool              tell;
    bridge_stream_t  *s;

    s = &t->stream;
    tell = false;

    pthread_mutex_lock(&s->lock);

    rc = may_write(t, len);

    if (rc == 0 && in) {
        *s->last = in;
        s->last = &in->next;
        s->unread += len + BRIDGE_PART_COST;
        tell = feed(s);
    }

    pthread_mutex_unlock(&s->lock);

    if (tell) {
        bridge_events_push(b, t);
    }

    return rc;
}


int
bridge_stream_may_write(bridge_t *b, bridge_task_t *t)
{
    return add_input(b, t, NULL, 1);
}


int
bridge_stream_write(bridge_t *b, bridge_task_t *t, const char *bytes,
    size_t len)
{
    int              rc;
    bridge_input_t  *in;

    /* what is refused is not worth a copy */

    rc = add_input(b, t, NULL, len);

    if (rc || len == 0) {
        return rc;
    }

    in = new_input(bytes, len);
    if (in == NULL) {
        return ENOMEM;
    }

    rc = add_input(b, t, in, len);

    if (rc) {
        free_input(in);
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


bool
bridge_stream_has_parts(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = bridge_task_of(b, handle, &state);

    return t && bridge_task_is_polled(state, handle)
           && (state & BRIDGE_TASK_STREAM)
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

    t = bridge_stream_enter(b, handle);
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

        if (s->blocked && s->unread <= bridge_stream_low(s)) {
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

    bridge_stream_leave(b, t, notify);

    if (in) {
        *part = in->bytes;
        *len = in->len;
        free(in);
    }

    return rc;
}


void
bridge_input_drop(bridge_task_t *t)
{
    bridge_input_t  *in, *next;

    for (in = t->stream.first; in; in = next) {
        next = in->next;
        free_input(in);
    }

    t->stream.first = NULL;
}
