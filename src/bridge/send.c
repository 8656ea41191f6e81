/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "send.h"


/* as malloc has it */
_Static_assert(BRIDGE_PART_COST
               == sizeof(bridge_part_t) + 2 * sizeof(void *), "its cost");


void
bridge_part_free(bridge_t *b, bridge_part_t *p, bool delivered)
{
    bool              tell;
    unsigned          phase;
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

        s->unreleased -= p->bytes ? p->len + BRIDGE_PART_COST
                                  : BRIDGE_FILE_COST;

        if (s->unreleased <= bridge_stream_low(s)) {
            phase = bridge_task_phase(bridge_task_state(t));
            tell = s->full && phase == BRIDGE_TASK_POLLED;
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
bridge_stream_head(bridge_t *b, uint64_t handle, bridge_node_t *n, int status)
{
    int             rc;
    bool            notify;
    bridge_task_t  *t;

    t = bridge_stream_enter(b, handle);
    if (t == NULL) {
        return EPIPE;
    }

    rc = 0;
    notify = false;

    if (!atomic_load_explicit(&t->web, memory_order_relaxed)
        || t->stream.headless != (status != 0)
        || (status == BRIDGE_HEAD_UPGRADE && !t->stream.upgrade))
    {
        rc = EINVAL;

    } else {
        t->stream.headless = status == BRIDGE_HEAD_HINTS;
        notify = bridge_lay_up(b, n);
    }

    bridge_stream_leave(b, t, notify);

    return rc;
}


/* p NULL: says whether one may be added */
static int
add(bridge_t *b, uint64_t handle, bridge_part_t *p, size_t cost, bool web)
{
    int               rc;
    bool              notify;
    bridge_task_t    *t;
    bridge_stream_t  *s;

    t = bridge_stream_enter(b, handle);
    if (t == NULL) {
        return EPIPE;
    }

    rc = 0;
    notify = false;
    s = &t->stream;

    if (s->headless
        || (web && !atomic_load_explicit(&t->web, memory_order_relaxed)))
    {
        rc = EINVAL;

    } else if (cost && s->unreleased >= bridge_stream_high(s)) {
        s->full = true;
        rc = EAGAIN;

    } else if (p) {
        s->unreleased += cost;
        notify = bridge_lay_up(b, &p->node);
    }

    bridge_stream_leave(b, t, notify);

    return rc;
}


int
bridge_stream_add(bridge_t *b, uint64_t handle, bridge_part_t *p, size_t cost)
{
    return add(b, handle, p, cost, false);
}


int
bridge_stream_may_add(bridge_t *b, uint64_t handle, size_t cost, bool web)
{
    return add(b, handle, NULL, cost, web);
}


int
bridge_stream_send(bridge_t *b, uint64_t handle, const char *bytes,
    size_t len, bool copy, bridge_release_pt release, void *arg)
{
    int             rc;
    bridge_part_t  *p;

    if (len == 0) {
        rc = add(b, handle, NULL, 0, false);

        if (rc == 0 && release) {
            release(arg, 1);
        }

        return rc;
    }

    p = new_part(handle, bytes, len, copy);
    if (p == NULL) {
        return ENOMEM;
    }

    p->release = release;
    p->arg = arg;

    rc = add(b, handle, p, len + BRIDGE_PART_COST, false);

    if (rc) {
        free(p);
    }

    return rc;
}
