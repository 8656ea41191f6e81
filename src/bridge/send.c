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

        s->unreleased -= p->len + BRIDGE_PART_COST;

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
bridge_stream_head(bridge_t *b, uint64_t handle, bridge_node_t *n)
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

    if (!t->stream.headless) {
        rc = EINVAL;

    } else {
        t->stream.headless = false;
        notify = bridge_lay_up(b, n);
    }

    bridge_stream_leave(b, t, notify);

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

    t = bridge_stream_enter(b, handle);
    if (t == NULL) {
        free(p);
        return EPIPE;
    }

    rc = 0;
    notify = false;
    s = &t->stream;

    if (s->headless) {
        rc = EINVAL;

    } else if (p && s->unreleased >= bridge_stream_high(s)) {
        s->full = true;
        rc = EAGAIN;

    } else if (p) {
        s->unreleased += len + BRIDGE_PART_COST;
        p->release = release;
        p->arg = arg;
        notify = bridge_lay_up(b, &p->node);
        p = NULL;
    }

    bridge_stream_leave(b, t, notify);

    free(p);

    if (rc == 0 && len == 0 && release) {
        release(arg, 1);
    }

    return rc;
}
